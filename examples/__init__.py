"""The data of the demo, the scripts that recorded them, and two-tower models to run."""
