"""Ported models beside hand-written PyTorch modules and Keras: the section `ported`."""
