"""Options that several commands have."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.cli.completion import complete_model, complete_registry
from reconciler.cli.types import Choice
from reconciler.core.limits import MARKDOWN_CHARACTERS
from reconciler.core.text import did_you_mean
from reconciler.forges.kinds import ForgeKind
from reconciler.render.formats import Format, notes

if TYPE_CHECKING:
    from reconciler.ports import Forge
    from reconciler.project import Options, Project
    from reconciler.reporter import Progress

F = TypeVar("F", bound=Callable[..., Any])

GATHERING = "reconciler.gathering"
"""Where a context keeps what makes a forge one that publishes nothing before all of several registries are done."""


def registry_options(command: F) -> F:
    options = [
        click.option(
            "--manifests",
            type=click.Path(path_type=Path, file_okay=False),
            envvar="RECONCILER_MANIFESTS",
            show_envvar=True,
            help="The folder of manifests. Default: the policy's, or `manifests` at the top of the repository.",
        ),
        click.option(
            "--registry-uri",
            metavar="URI",
            help="The MLflow registry. Default: MLFLOW_REGISTRY_URI, MLFLOW_TRACKING_URI, or the policy's.",
        ),
        click.option(
            "--registry",
            "named",
            metavar="NAME",
            shell_complete=complete_registry,
            envvar="RECONCILER_REGISTRY",
            show_envvar=True,
            help="Which of the policy's `registries`, where it names several.",
        ),
        click.option(
            "--repository",
            metavar="ID",
            envvar="RECONCILER_REPOSITORY",
            show_envvar=True,
            help="The name under which this repository owns models. Default: the remote's URL and the folder.",
        ),
        click.option(
            "--remote",
            default="origin",
            envvar="RECONCILER_REMOTE",
            show_default=True,
            show_envvar=True,
            help="The git remote that names this repository and keeps the lock.",
        ),
    ]
    return with_options(command, options)


def plan_options(command: F) -> F:
    options = [
        click.option(
            "--target",
            "targets",
            metavar="MODEL",
            shell_complete=complete_model,
            multiple=True,
            help="Only this model. Repeatable.",
        ),
        click.option("--adopt", is_flag=True, help="Take over models that another repository governs."),
        click.option("--force", is_flag=True, help="Continue although many models' Production would change at once."),
        click.option("--allow-empty", is_flag=True, help="Allow an empty manifest folder: release every model."),
        click.option(
            "--max-change-percent",
            type=click.FloatRange(0, 100),
            envvar="RECONCILER_MAX_CHANGE_PERCENT",
            show_envvar=True,
            help="The share of governed models whose Production may change without --force, for 10 or more models. "
            "Default: the policy's, or 30.",
        ),
        click.option(
            "--policy-ref",
            metavar="REF",
            envvar="RECONCILER_POLICY_REF",
            show_envvar=True,
            help="Commit whose policy applies. Default: the parent commit, or the merge base with `plan --base`.",
        ),
    ]
    return with_options(command, options)


def with_options(command: F, options: Iterable[Callable[[F], F]]) -> F:
    """A command with several options, which its help shows in this order."""
    for option in reversed(list(options)):
        command = option(command)
    return command


def _format(_context: click.Context, _parameter: click.Parameter, value: str) -> Format:
    return Format(value)


def format_option(formats: Iterable[Format]) -> Callable[[F], F]:
    """What the result is shown in: one of these."""
    formats = tuple(formats)
    return click.option(
        "--format",
        "form",
        type=Choice([form.value for form in formats]),
        default=Format.TEXT.value,
        show_default=True,
        callback=_format,
        help=notes(formats) or None,
    )


def report_option(formats: Iterable[Format], what: str) -> Callable[[F], F]:
    """Files that the result is also written to, each in one of these formats."""
    formats = tuple(formats)
    names = ", ".join(formats)

    def pairs(
        _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
    ) -> tuple[tuple[Format, Path], ...]:
        found: list[tuple[Format, Path]] = []
        for value in values:
            form, _, path = value.partition("=")
            if not path or form not in formats:
                fix = did_you_mean(form, formats, "") if path else ""
                raise click.BadParameter(f"`{value}` is not FORMAT=FILE; FORMAT is one of {names}. {fix}".rstrip())
            found.append((Format(form), Path(path)))
        return tuple(found)

    return click.option(
        "--report",
        "reports",
        callback=pairs,
        metavar="FORMAT=FILE",
        multiple=True,
        help=f"Also write the {what} to a file. Repeatable. FORMAT is one of {names}. {notes(formats)}",
    )


def _unless_zero(_context: click.Context, _parameter: click.Parameter, value: int) -> int | None:
    return value or None


def limit_option(command: F) -> F:
    return click.option(
        "--markdown-limit",
        "limit",
        type=click.IntRange(0),
        default=MARKDOWN_CHARACTERS,
        metavar="CHARACTERS",
        show_default=True,
        callback=_unless_zero,
        help="The maximum length of Markdown; 0 for no limit. The least important parts are left out and counted.",
    )(command)


def publish_option(command: F) -> F:
    return click.option(
        "--publish",
        type=Choice(["none", "auto", *(kind.value for kind in ForgeKind if kind.job)]),
        default="none",
        envvar="RECONCILER_PUBLISH",
        show_default=True,
        show_envvar=True,
        help="Publish the result in the forge of this CI job: a comment, a job summary, and outputs.",
    )(command)


def progress_shown() -> "Progress":
    """What shows how far long work of this command is."""
    from reconciler.reporter import Progress

    return Progress(quiet=bool(click.get_current_context().obj))


def opened(settings: dict[str, Any], publish: str = "none", progress: "Progress | None" = None) -> "Project":
    """The project that options name. What takes long in it is seen."""
    from reconciler import project

    found = project.open(
        registry=settings["registry_uri"],
        manifests=settings["manifests"],
        repository=settings["repository"],
        remote=settings["remote"],
        forge=publish,
        progress=(progress or progress_shown()).hear,
        named=settings["named"],
    )
    gathering: Callable[[Forge], Forge] | None = click.get_current_context().meta.get(GATHERING)
    forge = found.forge if gathering is None or found.forge is None else gathering(found.forge)
    return replace(found, by_command=True, forge=forge)


def options_of(settings: dict[str, Any]) -> "Options":
    """What a plan takes in, and which safeties it passes."""
    return {
        "targets": settings["targets"],
        "adopt": settings["adopt"],
        "force": settings["force"],
        "allow_empty": settings["allow_empty"],
        "max_change_percent": settings["max_change_percent"],
    }
