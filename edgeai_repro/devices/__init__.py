"""Devices: what is known of them, the roofline, and which one this is."""
