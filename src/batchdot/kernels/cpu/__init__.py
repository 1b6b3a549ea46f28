"""The native kernel: rows of the CPU in C++, by custom operators that csrc/ is compiled to."""
