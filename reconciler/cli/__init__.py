"""The commands, one a module. They ask, show and publish; what they do is `reconciler.project`'s."""

from reconciler.cli.group import cli, main, run

__all__ = ["cli", "main", "run"]
