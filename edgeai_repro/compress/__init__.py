"""The techniques that the paper applies: structured and unstructured pruning, dynamic quantization."""
