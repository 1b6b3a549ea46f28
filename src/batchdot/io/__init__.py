"""File formats of single arrays: strict readers of .npy and .safetensors headers, and atomic writes."""
