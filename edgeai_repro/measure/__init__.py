"""What is measured of a model: size, counts, accuracy, latency."""
