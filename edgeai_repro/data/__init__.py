"""CIFAR-10 and the pre-training pool."""
