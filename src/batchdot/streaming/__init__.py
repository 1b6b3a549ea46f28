"""`batch_dot` and `top_k` from file to file, in blocks that fit into memory."""
