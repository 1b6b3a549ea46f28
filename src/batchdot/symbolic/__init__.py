"""Graphs: symbolic tensors, the calls between them, and models of both.

Imported file by file: layers are made of `tensor` and `node`, models of layers.
"""
