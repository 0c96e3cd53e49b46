"""Which gates there are, in the order in which people read of them."""

from collections.abc import Mapping
from typing import Final

from reconciler.gates.age import AGE
from reconciler.gates.approvals import APPROVALS_BY
from reconciler.gates.artifact import ARTIFACT
from reconciler.gates.cel import CEL
from reconciler.gates.check import CHECK
from reconciler.gates.description import DESCRIPTION
from reconciler.gates.freeze import FREEZE
from reconciler.gates.lineage import LINEAGE
from reconciler.gates.metric import METRIC
from reconciler.gates.packages import FLAVORS, REQUIREMENTS
from reconciler.gates.parameters import GateKind
from reconciler.gates.path import PATH
from reconciler.gates.signature import SIGNATURE
from reconciler.gates.soak import SOAK
from reconciler.gates.tags import TAGS

CATALOGUE: Final[Mapping[str, GateKind]] = {
    kind.name: kind
    for kind in (
        PATH,
        SOAK,
        METRIC,
        TAGS,
        DESCRIPTION,
        SIGNATURE,
        LINEAGE,
        AGE,
        FLAVORS,
        REQUIREMENTS,
        ARTIFACT,
        FREEZE,
        APPROVALS_BY,
        CHECK,
        CEL,
    )
}
"""By the name that a policy calls them."""
