"""The `batchdot` command: one command is one library call."""
