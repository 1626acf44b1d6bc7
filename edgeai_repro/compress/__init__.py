"""The techniques of the paper: structured pruning, unstructured pruning and dynamic quantization."""
