"""Grids of training runs: their file, their engines (a loop, Ray, SLURM) and their driver. No torch."""
