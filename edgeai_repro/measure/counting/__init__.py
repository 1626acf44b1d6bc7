"""Actual counts: the values that a network stores, and the products that its operators compute."""
