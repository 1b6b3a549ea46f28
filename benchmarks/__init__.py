"""Named workloads, timed side by side."""
