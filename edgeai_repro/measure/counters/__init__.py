"""What other counters say of a network, and what each of them misses. Torch is imported by the modules."""

# The counters by the names that claims and tables give them, each with the module that it is imported from.
MODULES = {
    "thop": "thop",
    "fvcore": "fvcore",
    "ptflops-pytorch": "ptflops",
    "ptflops-aten": "ptflops",
    "torchinfo": "torchinfo",
    "calflops": "calflops",
    "torchprofile": "torchprofile",
    "torch-pruning": "torch_pruning",
    "FlopCounterMode": "torch",
    "FlopCounterMode, no_grad": "torch",
}
