"""CIFAR-10, and a pool of CIFAR-100 to pre-train on: loading, packing, and batches of it."""
