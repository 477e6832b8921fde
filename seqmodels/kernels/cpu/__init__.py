"""Kernels for CPUs in C++, called through XLA's foreign function interface, in XLA's own threads.

XLA's CPU backend runs the elementwise work of a loop on one thread, rearranges the weights anew at every position, and
cannot keep a block of scores in registers; `benchmarks/peers.py` measures what that costs. These kernels do the same
arithmetic, in float32. They are optional: see `library.py`.
"""
