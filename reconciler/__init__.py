"""
GitOps for the MLflow Model Registry, for notebooks and jobs: `validate`, `open` → `plan` → `apply`, `drift`, `gates`.

    import reconciler

    project = reconciler.open(".", registry="https://mlflow.acme.example")
    review = project.plan(ref="HEAD", base="origin/main")
    if not review.blocked:
        receipt = project.apply(review)

Nothing here prints, ends the process or leaves the environment changed; what goes wrong is a `ReconcilerError` that
says what to do. Importing it is cheap: what it needs comes along with the first call.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reconciler.version import __version__

if TYPE_CHECKING:
    from reconciler.core.drift import Drift
    from reconciler.core.gate import Verdict
    from reconciler.errors import (
        BlockedError,
        LockError,
        ManifestError,
        Problem,
        ReconcilerError,
        RegistryError,
        StaleError,
    )
    from reconciler.events import Receipt
    from reconciler.offline import fmt, validate
    from reconciler.project import Project, Review, audit_bundle, examine, open  # noqa: A004  # as in `tarfile.open`

__all__ = [
    "BlockedError",
    "Drift",
    "LockError",
    "ManifestError",
    "Problem",
    "Project",
    "Receipt",
    "ReconcilerError",
    "RegistryError",
    "Review",
    "StaleError",
    "Verdict",
    "__version__",
    "audit_bundle",
    "examine",
    "fmt",
    "open",
    "validate",
]

_HOMES = {
    "Drift": "core.drift",
    "Receipt": "events",
    "Verdict": "core.gate",
    **dict.fromkeys(("fmt", "validate"), "offline"),
    **dict.fromkeys(("Project", "Review", "audit_bundle", "examine", "open"), "project"),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"reconciler.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
