"""The same layers, faster on a CPU: swapped in for a block of code, and out again."""
