"""The ATen kernel: PyTorch's own operators, the reference that every other kernel falls back to."""
