"""Faster CPU kernels for ConvNeXt."""
