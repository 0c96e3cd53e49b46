"""The commands, one a module. They ask, show and publish; what they do is `reconciler.project`'s."""

from reconciler.cli import (
    access,
    apply,
    check,
    completion,
    doctor,
    drift,
    fmt,
    gates,
    import_,
    init,
    plan,
    promote,
    schema,
    status,
    validate,
)
from reconciler.cli.group import cli, main, run

__all__ = [
    "access",
    "apply",
    "check",
    "cli",
    "completion",
    "doctor",
    "drift",
    "fmt",
    "gates",
    "import_",
    "init",
    "main",
    "plan",
    "promote",
    "run",
    "schema",
    "status",
    "validate",
]
