"""Layers that apply an activation function to each element, or along an axis."""
