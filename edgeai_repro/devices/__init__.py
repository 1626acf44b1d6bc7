"""Devices: their specifications, the roofline, and a fingerprint of this machine."""
