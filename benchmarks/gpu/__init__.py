"""One run on a machine with a GPU: values first, then ceilings, then times. See `__main__`."""
