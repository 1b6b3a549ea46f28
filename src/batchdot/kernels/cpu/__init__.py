"""The CPU kernel: the C++ operators of csrc/cpu."""
