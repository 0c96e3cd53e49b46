"""Which gates there are, by the kind that a policy file calls them."""

from typing import Final

from reconciler.core.gate import Gate
from reconciler.gates.age import Age
from reconciler.gates.approvals import Approvals
from reconciler.gates.artifact import Artifact
from reconciler.gates.cel import Cel
from reconciler.gates.check import CheckGate
from reconciler.gates.description import Description
from reconciler.gates.freeze import Freeze
from reconciler.gates.lineage import Lineage
from reconciler.gates.metric import Metric
from reconciler.gates.packages import Flavors, Requirements
from reconciler.gates.path import Path
from reconciler.gates.signature import SignatureGate
from reconciler.gates.soak import Soak
from reconciler.gates.tags import Tags

NAMES: Final[tuple[tuple[str, type[Gate]], ...]] = (
    ("path", Path),
    ("soak", Soak),
    ("metric", Metric),
    ("tags", Tags),
    ("description", Description),
    ("signature", SignatureGate),
    ("lineage", Lineage),
    ("age", Age),
    ("flavors", Flavors),
    ("requirements", Requirements),
    ("artifact", Artifact),
    ("freeze", Freeze),
    ("approvals", Approvals),
    ("check", CheckGate),
    ("cel", Cel),
)
