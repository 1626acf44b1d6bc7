"""Judging: a claim and its rows give a verdict. Pure."""
