"""Helpers: classes and functions that ported files need beside torch.

A ported file gets a copy of those it uses. Each file imports nothing but torch, and is
formatted at a width of 88.
"""
