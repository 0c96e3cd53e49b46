"""`reconciler completion`, and what a shell completes: the models, versions and slots that manifests name."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.group import COMPLETE, cli
from reconciler.errors import ExitCode, ReconcilerError

if TYPE_CHECKING:
    from reconciler.offline import DeclaredModel

SHELLS = ("bash", "zsh", "fish")

# The scripts of shells split what they are offered into words, and expand patterns in it.
_SAFE = re.compile(r"[\w.@%+:,/-]+")


@cli.command()
@click.argument("shell", type=click.Choice(SHELLS), required=False)
def completion(shell: str | None) -> int:
    """
    Print the script that makes SHELL complete commands, options, files, and the models, versions and slots that the
    manifests name. Default: the shell in the environment variable SHELL.

    For bash: echo 'eval "$(reconciler completion bash)"' >> ~/.bashrc
    """
    from click.shell_completion import get_completion_class

    name = shell or Path(os.environ.get("SHELL", "")).name
    found = get_completion_class(name) if name in SHELLS else None
    if found is None:
        raise ReconcilerError("The shell is not known.", f"Name it: {', '.join(SHELLS)}.")
    click.echo(found(cli, {}, "reconciler", COMPLETE).source())
    return ExitCode.OK


def complete_model(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The models that manifests declare."""
    return _offered(_declared(ctx), incomplete)


def complete_registry(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """What the policy calls its registries."""
    from reconciler.offline import declared_registries

    with suppress(ReconcilerError, OSError, ValueError):
        return _offered(declared_registries(), incomplete)
    return []


def complete_version(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The versions that manifests name of the model that was named before."""
    numbers = sorted({number for model in _meant(ctx) for number in model.versions}, reverse=True)
    return _offered(map(str, numbers), incomplete)


def complete_slot(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The stages, and the aliases of the model that was named before, or of all."""
    aliases = sorted({f"@{alias}" for model in _meant(ctx) for alias in model.aliases})
    return _offered((*_stages(), *aliases), incomplete)


def complete_stage(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The stages."""
    return _offered(_stages(), incomplete)


def complete_alias(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The aliases of the model that was named before."""
    return _offered(sorted({alias for model in _meant(ctx) for alias in model.aliases}), incomplete)


def _stages() -> Iterator[str]:
    from reconciler.core.names import Stage

    yield from (stage.value for stage in reversed(Stage))


def _offered(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete) and _SAFE.fullmatch(word)]


def _declared(ctx: click.Context) -> "dict[str, DeclaredModel]":
    from reconciler.offline import declared_models

    # Whoever presses Tab wants no message; `validate` says what is wrong.
    with suppress(ReconcilerError, OSError, ValueError):
        return declared_models(ctx.params.get("manifests"), ctx.params.get("named") or "")
    return {}


def _meant(ctx: click.Context) -> "list[DeclaredModel]":
    # While an option still waits for its value, Click has not assigned the arguments yet.
    declared, name = _declared(ctx), ctx.params.get("model") or next(iter(ctx.args), None)
    return [declared[name]] if name in declared else list(declared.values())
