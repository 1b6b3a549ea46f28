"""The native kernel: products and cosines of rows on the CPU, by custom operators in C++ (csrc/cpu)."""
