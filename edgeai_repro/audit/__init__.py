"""The audit: the effect of each compression technique on any model, as reported and as it actually is."""

from edgeai_repro.audit.audit import audit

__all__ = ["audit"]
