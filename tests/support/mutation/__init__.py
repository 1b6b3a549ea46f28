"""Mutation testing: random changes to src/batchdot, each run against the tests that touch its function."""
