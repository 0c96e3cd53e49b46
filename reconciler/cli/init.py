"""`reconciler init`."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.cli.options import opened
from reconciler.cli.types import Choice, VersionNumber
from reconciler.core.text import clean
from reconciler.forges.kinds import ForgeKind
from reconciler.render.layout import diff_lines

if TYPE_CHECKING:
    from reconciler.scaffold import Renewed


@cli.command()
@click.option("--model", "models", metavar="NAME", multiple=True, help="Declare this registered model.")
@click.option("--version", type=VersionNumber(), metavar="N", help="The version that is in Production.")
@click.option("--owner", metavar="@TEAM", help="Who must review what enters Production.")
@click.option(
    "--forge",
    type=Choice([kind.value for kind in ForgeKind]),
    help="The forge to write workflows for. Default: the forge of the git remote.",
)
@click.option("--remote", default="origin", envvar="RECONCILER_REMOTE", show_default=True, show_envvar=True)
@click.option(
    "--registry-uri",
    metavar="URI",
    help="The MLflow registry that holds the model. Default: MLFLOW_REGISTRY_URI, MLFLOW_TRACKING_URI, or the "
    "policy's; with none, the manifest is not compared with a registry.",
)
@click.option(
    "--install-from",
    metavar="SOURCE",
    help="What the jobs install: git+https://HOST/PATH@COMMIT, https://HOST/FILE.whl#sha256=HASH, or "
    "'NAME==VERSION --hash=sha256:HASH'. Default: the source of this installation.",
)
@click.option(
    "--plan-from-base/--no-plan-from-base",
    default=None,
    help="GitHub: run the plan workflow of the default branch, with the change as data (pull_request_target).",
)
@click.option(
    "--signing-key/--no-signing-key", default=True, show_default=True, help="Create a key for signed records."
)
@click.option("--update", "updating", is_flag=True, help="Update the files of an earlier init, and show the diff.")
@click.option("--yes", is_flag=True, help="With --update: also overwrite files that somebody changed.")
def init(
    models: tuple[str, ...],
    version: int | None,
    owner: str | None,
    forge: str | None,
    remote: str,
    registry_uri: str | None,
    install_from: str | None,
    plan_from_base: bool | None,
    signing_key: bool,
    updating: bool,
    yes: bool,
) -> None:
    """
    Set up this git repository: a first manifest, its JSON Schema, workflows and what they install, CODEOWNERS, a key
    for signed records and a pre-commit hook. A model is declared as the registry holds it. Existing files are not
    touched; --update updates the workflows, what they install and the schemas.
    """
    from reconciler.scaffold import First, Jobs, scaffold, update

    if len(models) > 1:
        raise click.UsageError(
            f"--model declares one model. To declare several: reconciler import {' '.join(map(quote, models))}"
        )
    model = next(iter(models), None)
    if registry_uri is not None and model is None:
        raise click.UsageError("--registry-uri requires --model: nothing else is asked of a registry.")
    jobs = Jobs(None if forge is None else ForgeKind(forge), plan_from_base, install_from)
    if updating:
        if (model, version, owner) != (None, None, None):
            raise click.UsageError("--update declares nothing: remove --model, --version and --owner.")
        _show_update(update(Path.cwd(), jobs, remote, overwrite=yes))
        return
    if yes:
        raise click.UsageError("--yes requires --update: nothing else overwrites files.")
    first = First(model, version, owner)
    if model is not None:
        settings = {
            "registry_uri": registry_uri,
            "manifests": None,
            "repository": None,
            "remote": remote,
            "named": None,
        }
        first = opened(settings).begin(model, version, owner)
    done = scaffold(Path.cwd(), first, jobs, remote, signing_key=signing_key)
    for laid in done.laid:
        style, word = ("warn", "kept") if laid.kept else ("add", "wrote")
        click.echo(console.styled(((style, f"{word:<6}"), ("", str(laid.path)))))
        for line in laid.by_hand.splitlines():
            click.echo(console.styled((("faint", f"      {line}"),)))
    if first.remarks:
        click.echo(console.styled((("name", "To look at:"),)))
    for remark in first.remarks:
        click.echo(f"  {clean(remark)}")
    if first.uncompared:
        console.note(
            f"The manifest was not compared with a registry: {first.uncompared}. Compare it: "
            "reconciler plan --registry-uri URI"
        )
    if done.key is not None:
        console.show_key(done.key, done.forge.value)
    if done.next_steps:
        click.echo(console.styled((("name", "Next:"),)))
    for number, step in enumerate(done.next_steps, 1):
        click.echo(f"  {number}. {step}")


def _show_update(files: "tuple[Renewed, ...]") -> None:
    """What an update did to each file, with the diff, and what it left to somebody."""
    from reconciler.scaffold import Renewal

    words = {
        Renewal.CURRENT: ("", "as it is"),
        Renewal.WRITTEN: ("add", "wrote"),
        Renewal.CHANGED: ("warn", "left"),
        Renewal.REMOVED: ("warn", "left out"),
    }
    for file in files:
        style, word = words[file.renewal]
        click.echo(console.styled(((style, f"{word:<9}"), ("", file.path))))
        console.show(diff_lines(file.diff, "  "))
    if changed := [file.path for file in files if file.renewal is Renewal.CHANGED]:
        console.note(
            f"{', '.join(changed)}: changed since init wrote it, so it is kept. The diff leads to what "
            "this release writes. Copy what you want by hand, or overwrite the file: reconciler init --update --yes"
        )
    if removed := [file.path for file in files if file.renewal is Renewal.REMOVED]:
        console.note(f"{', '.join(removed)}: removed since init wrote it, so it is not written again.")
