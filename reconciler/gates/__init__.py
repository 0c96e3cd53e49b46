"""One gate per module. See `reconciler.core.gate` for what a gate is, and `catalogue` for which there are."""
