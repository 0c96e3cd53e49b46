"""For tests of your own: a registry in memory, and builders of what gates are asked and told."""

from reconciler.testing.builders import entrance, have, judge, version
from reconciler.testing.memory import MemoryEvidence, MemoryRegistry

__all__ = ["MemoryEvidence", "MemoryRegistry", "entrance", "have", "judge", "version"]
