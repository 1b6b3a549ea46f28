"""Benchmarks: named workloads, timed side by side with peers (`make bench`)."""
