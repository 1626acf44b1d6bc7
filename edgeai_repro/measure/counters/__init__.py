"""What other counters say of a network, and what each of them misses."""
