"""Saved models for the tests of the reader: the corpus, hostile files, and a fuzzer."""
