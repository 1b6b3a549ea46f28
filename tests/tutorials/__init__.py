"""Well-known Keras tutorials, run by Keras and by batchdot."""
