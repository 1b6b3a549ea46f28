"""Layers that regularize training, such as dropout."""
