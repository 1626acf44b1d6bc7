"""Training a ConvNeXt, with pruning while it trains, and the record that a run leaves. `record` needs no torch."""
