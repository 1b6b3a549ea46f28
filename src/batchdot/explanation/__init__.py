"""`explain`: a contraction in words, as PyTorch code and as a diagram."""
