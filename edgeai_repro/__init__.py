"""Re-runs the claims of a network-compression paper and says which hold.

The package has one direction of flow: claims (data) → `Lab.measure` → `Measurement` → `judge` → `Verdict` →
report. Only the lab and what stands behind it import torch.
"""

__version__ = "0.1.0"
