"""Symbolic tensors, of a shape and a dtype but no numbers, and the graph of the layer calls on them."""

from batchdot.symbolic import functions as functions  # registers the handler of symbolic tensors
