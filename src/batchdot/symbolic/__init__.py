"""Symbolic tensors, which have a shape and a dtype but no values, and the graph of layer calls on them."""

from batchdot.symbolic import functions as functions  # registers the handler of symbolic tensors
from batchdot.symbolic import torch_functions as torch_functions  # lets torch functions take symbolic tensors
