"""Translations of Keras's layers; a file stands for a folder of Keras, and some for one layer of it."""
