"""The Triton kernel: rows, cosine matrices and integer products on CUDA devices, in one pass over memory."""
