"""Translations of functions of keras.ops and TensorFlow, which a saved graph has as layers."""
