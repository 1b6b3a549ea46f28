"""Symbolic tensors: what layers are called on to define a graph, before there are numbers."""
