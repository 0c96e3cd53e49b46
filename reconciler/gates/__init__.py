"""
What gates of other packages are made with, and the gates that every policy has, one a module. A gate says which facts
it needs, is told them, and answers `passed`, `failed` or `unknown` with one plain sentence: see `Gate`.
`reconciler.testing` asks one.
"""

from reconciler.core.evidence import VersionFacts
from reconciler.core.gate import (
    APPROVALS,
    CANDIDATE,
    CHANGE,
    CHECKS,
    INCUMBENT,
    MODEL,
    NOBODY,
    NOW,
    PINNED,
    PRESENT,
    STAGE,
    Entrance,
    FactKey,
    Facts,
    Gate,
    Judgement,
    Kind,
    Nobody,
    Ruling,
    Verdict,
    contained,
    failed,
    passed,
    stay,
    unknown,
)

__all__ = [
    "APPROVALS",
    "CANDIDATE",
    "CHANGE",
    "CHECKS",
    "INCUMBENT",
    "MODEL",
    "NOBODY",
    "NOW",
    "PINNED",
    "PRESENT",
    "STAGE",
    "Entrance",
    "FactKey",
    "Facts",
    "Gate",
    "Judgement",
    "Kind",
    "Nobody",
    "Ruling",
    "Verdict",
    "VersionFacts",
    "contained",
    "failed",
    "passed",
    "stay",
    "unknown",
]
