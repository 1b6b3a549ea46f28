"""`Layer`: the contract of a Keras layer on torch.nn.Module."""
