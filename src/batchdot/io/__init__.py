"""Array files: strict readers of .npy and .safetensors, and atomic writes."""
