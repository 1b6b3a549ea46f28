"""Keras's functions of tensors, which also take symbolic tensors, numpy arrays and nested lists.

`batchdot.backend` has them under these names, and the operations in models that Keras 3 saved run by them.
"""
