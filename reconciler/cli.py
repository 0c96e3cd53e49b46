"""The commands."""

import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler import __version__, console
from reconciler.core.limits import MARKDOWN_CHARACTERS
from reconciler.core.text import amount, clean
from reconciler.errors import ExitCode, ManifestError, Problem, ReconcilerError, Severity
from reconciler.forges.kinds import ForgeKind

if TYPE_CHECKING:
    from reconciler.core.access import Governed
    from reconciler.core.plan import PlanOptions
    from reconciler.core.review import Review
    from reconciler.events import Receipt
    from reconciler.judging import Rules
    from reconciler.ports import Forge, World
    from reconciler.publishing import Publication
    from reconciler.render.json import PlanDocument
    from reconciler.scaffold import Renewed
    from reconciler.wiring import LockKind

F = TypeVar("F", bound=Callable[..., Any])


def main() -> None:
    """The entry point of the command `reconciler`."""
    if not sys.warnoptions:
        # Libraries warn their callers' authors; the user of a command is not one of them.
        warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A letter that the terminal's encoding lacks is no reason to break off.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and say how it ended: every error becomes a message and an exit code, never a traceback."""
    try:
        result: object = cli.main(arguments, prog_name="reconciler", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return ExitCode.ERROR
    except (KeyboardInterrupt, click.Abort):
        console.say("Interrupted: nothing was written.")
        return ExitCode.INTERRUPTED
    except ManifestError as error:
        console.show_problems(error.problems, err=True)
        return error.exit_code
    except ReconcilerError as error:
        console.say_error(str(error))
        return error.exit_code
    except SystemExit as error:
        # A library ended the process, perhaps with 0: what was asked for was not done.
        console.say_error(f"A library ended the command before it was done ({error.code}).")
        return ExitCode.ERROR
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None and error.errno in console.FULL:
            console.deafen()
            console.say_error(f"Standard output could not be written: {error.strerror}.")
            return ExitCode.ERROR
        if os.environ.get("RECONCILER_DEBUG"):
            raise
        console.say_error(
            f"{type(error).__name__}: {error}. This is a fault of reconciler's: please report it, with what "
            "RECONCILER_DEBUG=1 shows."
        )
        return ExitCode.ERROR
    return result if isinstance(result, int) else ExitCode.OK


def _colour(context: click.Context, _parameter: click.Parameter, value: str) -> None:
    if value == "auto" and os.environ.get("NO_COLOR"):
        value = "never"
    elif value == "auto" and os.environ.get("FORCE_COLOR"):
        value = "always"
    # Where this is None, Click decides by looking at the stream.
    context.color = {"auto": None, "always": True, "never": False}[value]


def _unless_zeros(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """A commit; none for the zeros that forges name as the one before the first push of a branch."""
    return None if value is not None and set(value) == {"0"} else value


@contextmanager
def _until_nobody_reads() -> Generator[None]:
    """End quietly when the reader has seen enough (`reconciler plan | head`): Click and Rich make a bare exit of it."""
    try:
        yield
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and not isinstance(error.__context__, BrokenPipeError):
            raise
        console.deafen()
        raise click.exceptions.Exit(ExitCode.ERROR) from None


class _Commands(click.Group):
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _until_nobody_reads():
            return super().make_context(*args, **kwargs)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        near = get_close_matches(args[0], self.commands, 1) if args[0] not in self.commands else []
        if near:
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with _until_nobody_reads():
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    callback=_colour,
    expose_value=False,
    help="Colour the output. NO_COLOR and FORCE_COLOR are heeded too.",
)
def cli() -> None:
    """
    GitOps for the MLflow Model Registry: stages and aliases are declared in YAML files in git, `plan` shows what a
    merge would do, `apply` does it, `git revert` undoes it.

    Exit codes: 0 fine, 1 error, 2 changes pending (--detailed-exitcode), 3 blocked, 4 stale, 130 interrupted.
    """


def _registry_options(command: F) -> F:
    options = [
        click.option(
            "--manifests",
            type=click.Path(path_type=Path, file_okay=False),
            envvar="RECONCILER_MANIFESTS",
            show_envvar=True,
            help="The folder of manifests; else the policy's, else `manifests`.",
        ),
        click.option(
            "--registry-uri",
            metavar="URI",
            help="The MLflow registry; else MLFLOW_REGISTRY_URI, MLFLOW_TRACKING_URI, or the policy's.",
        ),
        click.option(
            "--repository",
            metavar="ID",
            envvar="RECONCILER_REPOSITORY",
            show_envvar=True,
            help="The name under which this repository owns models; by default the remote's URL and the folder.",
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
    return _with(command, options)


def _plan_options(command: F) -> F:
    options = [
        click.option("--target", "targets", metavar="MODEL", multiple=True, help="Only this model; may be repeated."),
        click.option("--adopt", is_flag=True, help="Take over models that another repository governs."),
        click.option("--force", is_flag=True, help="Go on although many models' Production would change at once."),
        click.option("--allow-empty", is_flag=True, help="Release every model when no manifest is left."),
        click.option(
            "--max-change-percent",
            type=click.FloatRange(0, 100),
            envvar="RECONCILER_MAX_CHANGE_PERCENT",
            show_envvar=True,
            help="The share of governed models whose Production may change without --force, from 10 models on; else "
            "the policy's, else 30.",
        ),
        click.option(
            "--policy-ref",
            metavar="REF",
            callback=_unless_zeros,
            envvar="RECONCILER_POLICY_REF",
            show_envvar=True,
            help="Judge by the policy of this commit; else of the one before, or where the change left `plan --base`.",
        ),
    ]
    return _with(command, options)


def _with(command: F, options: Iterable[Callable[[F], F]]) -> F:
    for option in reversed(list(options)):
        command = option(command)
    return command


@cli.command(short_help="Check manifests and the policy, offline.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github", "code-quality"]),
    default="text",
    show_default=True,
    help="`github` annotates the lines of a pull request, `code-quality` is GitLab's report.",
)
def validate(paths: tuple[Path, ...], form: str) -> int:
    """
    Check manifests and the policy, offline: PATHS are files or folders, `manifests` by default. Every problem is
    reported with its place.
    """
    from reconciler.wiring import check_files

    files, models, problems = check_files(list(paths) or [Path("manifests")])
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    if form == "json":
        click.echo(json.dumps({"valid": not errors, "problems": [_problem(p) for p in problems]}, indent=2))
    elif form == "github":
        from reconciler.render.annotations import problem_annotations

        click.echo(problem_annotations(problems), nl=False)
    elif form == "code-quality":
        from reconciler.render.gitlab import code_quality

        click.echo(code_quality(problems, None), nl=False)
    else:
        console.show_problems(problems)
        verdict = click.style(amount(errors, "error"), fg="red") if errors else click.style("valid", fg="green")
        click.echo(f"{amount(files, 'file')}, {amount(models, 'model')}: {verdict}.")
    return ExitCode.ERROR if errors else ExitCode.OK


def _problem(problem: Problem) -> dict[str, Any]:
    at = problem.location
    return {
        "path": at.path,
        "line": at.line,
        "column": at.column,
        "severity": problem.severity.value,
        "code": problem.code,
        "message": problem.message,
        "fix": problem.fix,
    }


@cli.command(short_help="Make this git repository ready.")
@click.option("--model", metavar="NAME", help="Declare this registered model, as the first.")
@click.option("--version", type=click.IntRange(1), metavar="N", help="The version of it that is in Production.")
@click.option("--owner", metavar="@TEAM", help="Who must review what enters Production.")
@click.option(
    "--forge",
    type=click.Choice([kind.value for kind in ForgeKind]),
    help="Whose workflows to write; else the forge that the remote's address tells.",
)
@click.option("--remote", default="origin", envvar="RECONCILER_REMOTE", show_default=True, show_envvar=True)
@click.option(
    "--install-from",
    metavar="SOURCE",
    help="What the jobs install: git+https://HOST/PATH@COMMIT, https://HOST/FILE.whl#sha256=HASH, or "
    "'NAME==VERSION --hash=sha256:HASH'; else what this installation came from.",
)
@click.option(
    "--plan-from-base/--no-plan-from-base",
    default=None,
    help="GitHub: take the plan's workflow from the default branch, with the change as data (pull_request_target).",
)
@click.option("--signing-key/--no-signing-key", default=True, show_default=True, help="Make a key for signed records.")
@click.option(
    "--update", "updating", is_flag=True, help="Bring what an earlier init wrote up to date, and show the diff."
)
@click.option("--yes", is_flag=True, help="With --update: overwrite files that somebody changed, too.")
def init(
    model: str | None,
    version: int | None,
    owner: str | None,
    forge: str | None,
    remote: str,
    install_from: str | None,
    plan_from_base: bool | None,
    signing_key: bool,
    updating: bool,
    yes: bool,
) -> None:
    """
    Make this git repository ready: a first manifest, its JSON Schema, workflows and what they install, CODEOWNERS, a
    key for signed records and a pre-commit hook. No file that is there is touched; --update brings the workflows, what
    they install and the schemas up to date.
    """
    from reconciler.scaffold import First, Jobs, scaffold, update

    jobs = Jobs(None if forge is None else ForgeKind(forge), plan_from_base, install_from)
    if updating:
        if (model, version, owner) != (None, None, None):
            raise click.UsageError("--update declares nothing: leave --model, --version and --owner away.")
        _show_update(update(Path.cwd(), jobs, remote, overwrite=yes))
        return
    if yes:
        raise click.UsageError("--yes goes with --update; without it nothing is overwritten.")
    done = scaffold(Path.cwd(), First(model, version, owner), jobs, remote, signing_key=signing_key)
    for laid in done.laid:
        style, word = ("warn", "kept") if laid.kept else ("add", "wrote")
        click.echo(console.styled(((style, f"{word:<6}"), ("", str(laid.path)))))
        for line in laid.by_hand.splitlines():
            click.echo(console.styled((("faint", f"      {line}"),)))
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
        for line in file.diff:
            kind = {"+": "add", "-": "remove", "@": "faint"}.get(line[0], "")
            click.echo(console.styled(((kind, f"  {clean(line)}"),)))
    if changed := [file.path for file in files if file.renewal is Renewal.CHANGED]:
        console.note(
            f"{', '.join(changed)}: not as init wrote it, so it is left. The diff leads to what this release "
            "writes. Take over by hand what you want of it, or overwrite it: reconciler init --update --yes"
        )
    if removed := [file.path for file in files if file.renewal is Renewal.REMOVED]:
        console.note(f"{', '.join(removed)}: init wrote it and it was removed since, so it is left out.")


@cli.command(short_help="Print a JSON Schema.")
@click.argument(
    "name", type=click.Choice(["manifest", "policy", "plan", "receipt", "drift", "access"]), default="manifest"
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to this file.")
def schema(name: str, output: Path | None) -> None:
    """Print the JSON Schema (draft-07) of manifests, the policy, `plan --format json`, receipts, drift, or access."""
    from reconciler.wiring import schema_text

    if output is None:
        click.echo(schema_text(name), nl=False)
    else:
        console.write_file(output, schema_text(name))


FORMATS = ("text", "json", "markdown", "html", "github", "gitlab-terraform", "code-quality", "junit", "sarif")


def _reports(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, Path], ...]:
    pairs: list[tuple[str, Path]] = []
    for value in values:
        form, _, path = value.partition("=")
        if not path or form not in FORMATS:
            raise click.BadParameter(f"`{value}` is not FORMAT=FILE with one of {', '.join(FORMATS)}.")
        pairs.append((form, Path(path)))
    return tuple(pairs)


def _unless_zero(_context: click.Context, _parameter: click.Parameter, value: int) -> int | None:
    return value or None


def _limit_option(command: F) -> F:
    return click.option(
        "--markdown-limit",
        "limit",
        type=click.IntRange(0),
        default=MARKDOWN_CHARACTERS,
        metavar="CHARACTERS",
        show_default=True,
        callback=_unless_zero,
        help="How long Markdown may be; 0 for no bound. What weighs least is left out, and counted.",
    )(command)


def _publish_option(command: F) -> F:
    return click.option(
        "--publish",
        type=click.Choice(["none", "auto", *(kind.value for kind in ForgeKind if kind.job)]),
        default="none",
        envvar="RECONCILER_PUBLISH",
        show_default=True,
        show_envvar=True,
        help="Show the result in the forge whose CI job this is: as a comment, a job summary, and outputs.",
    )(command)


@cli.command(short_help="Show what an apply would do, and the evidence for it.")
@_registry_options
@click.option("--ref", metavar="REF", help="Plan this commit instead of the work tree.")
@click.option(
    "--base",
    metavar="REF",
    envvar="RECONCILER_BASE",
    show_envvar=True,
    help="Tell what the change makes, since it left this branch, from what is pending without it.",
)
@_plan_options
@click.option(
    "--evidence",
    type=click.Choice(["none", "production", "stages", "all"]),
    default="production",
    envvar="RECONCILER_EVIDENCE",
    show_default=True,
    show_envvar=True,
    help="Which versions that move in are shown beside those they replace; `all` includes aliases.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "markdown", "html"]),
    default="text",
    show_default=True,
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Save the plan for `apply FILE`.")
@click.option(
    "--report",
    "reports",
    callback=_reports,
    metavar="FORMAT=FILE",
    multiple=True,
    help=f"Write the same plan to a file too; may be repeated. FORMAT is one of {', '.join(FORMATS)}.",
)
@_limit_option
@_publish_option
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 when there is something to change.")
def plan(
    ref: str | None,
    base: str | None,
    evidence: str,
    form: str,
    out: Path | None,
    reports: tuple[tuple[str, Path], ...],
    limit: int | None,
    publish: str,
    detailed_exitcode: bool,
    **settings: Any,
) -> int:
    """Show what an apply would do, and the evidence for it. Writes nothing to the registry."""
    from reconciler.core.review import Scope
    from reconciler.planning import declare, make_review
    from reconciler.publishing import Publication, rendered
    from reconciler.render.text import review_lines
    from reconciler.wiring import LockKind, load_rules

    forge = _forge(publish)
    publication = Publication(forge, None, reports)
    try:
        for path in (out, *(path for _, path in reports)):
            console.refuse_unwritable(path)
        world = _world(settings, LockKind.NONE, forge, base=base, ref=ref, policy_ref=settings["policy_ref"])
        publication = replace(_publication(forge, world, reports), limit=limit)
        declaration = declare(world, ref)
        console.show_problems(declaration.warnings, err=True)
        ahead = ref is None and bool(declaration.dirty)
        revision = declaration.desired.revision
        rules = load_rules(world, revision, base=base, ref=ref, policy_ref=settings["policy_ref"], ahead=ahead)
        options = _options(settings, rules)
        review = make_review(world, declaration, options, scope=Scope(evidence), base=base, ref=ref, rules=rules)
        if form == "text":
            console.show(review_lines(review, console.width()))
        else:
            click.echo(rendered(review, form, publication.key or "", limit), nl=False)
        if out is not None:
            console.write_file(out, rendered(review, "json", publication.key or ""))
        publication.write_reports(review)
        _show_notes(review, () if ref is not None else declaration.dirty)
    except BaseException as error:
        # Whatever ended it: an older plan must not go on standing as if it were of this commit.
        publication.no_plan(error)
        raise
    try:
        publication.review(review, out)
    except ReconcilerError:
        # There is a plan, and the forge does not take it: it takes no other word either.
        raise
    except BaseException as error:
        publication.no_plan(error)
        raise
    if review.plan.blocked:
        return ExitCode.BLOCKED
    return ExitCode.CHANGES if review.plan.changes and detailed_exitcode else ExitCode.OK


def _show_notes(review: "Review", dirty: Iterable[str]) -> None:
    from reconciler.core.review import weightiest

    if dirty:
        console.note(f"The work tree differs from the commit: {', '.join(dirty)}. `--ref HEAD` plans the commit.")
    notes, left = weightiest(review.notes, lambda note: note.weight)
    for note in notes:
        console.note(note.text)
    if left:
        console.note(f"And {len(left)} more, which `--format json` shows.")


def _forge(publish: str) -> "Forge | None":
    from reconciler.wiring import open_forge

    return open_forge(publish, os.environ)


def _publication(forge: "Forge | None", world: "World", reports: tuple[tuple[str, Path], ...] = ()) -> "Publication":
    from reconciler.core.names import in_workspace
    from reconciler.publishing import Publication
    from reconciler.wiring import comment_key

    where = in_workspace(world.registry.uri, world.registry.workspace)
    return Publication(forge, comment_key(world.source.identity, where), reports)


@cli.command(short_help="Show what was moved by hand since the last apply.")
@_registry_options
@click.option("--ref", metavar="REF", default="HEAD", show_default=True, help="The commit that should be applied.")
@click.option(
    "--files",
    is_flag=True,
    help="Download the files of versions whose digest was recorded (`artifact: {pinned: true}`), and compare them.",
)
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@_limit_option
@_publish_option
def drift(ref: str, files: bool, form: str, limit: int | None, publish: str, **settings: Any) -> int:
    """
    Show where the registry differs from the commit that was last applied to it: what was moved by hand. Exits with 2
    if it does. Writes nothing.
    """
    from reconciler.planning import find_drift
    from reconciler.publishing import drift_rendered
    from reconciler.render.text import drift_lines
    from reconciler.wiring import LockKind, load_rules

    forge = _forge(publish)
    world = _world(settings, LockKind.NONE, forge, ref=ref)
    publication = _publication(forge, world)
    try:
        found = find_drift(world, ref, load_rules(world, world.source.read(ref).revision, ref=ref), files=files)
    except ReconcilerError as error:
        publication.refused(error)
        raise
    if form == "text":
        console.show(drift_lines(found, console.width()))
    else:
        click.echo(drift_rendered(found, form, limit), nl=False)
    publication.drift(found)
    return ExitCode.CHANGES if found.drifted else ExitCode.OK


@cli.command(short_help="Say why a version can, or cannot, be promoted.")
@click.argument("model")
@_registry_options
@click.option("--version", type=click.IntRange(1), metavar="N", help="The version in question; else the newest.")
@click.option("--ref", metavar="REF", default="HEAD", show_default=True, help="Whose manifests tighten the gates.")
@click.option(
    "--policy-ref",
    metavar="REF",
    callback=_unless_zeros,
    help="Judge by the policy of this commit instead of --ref's own.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@_publish_option
def gates(
    model: str, version: int | None, ref: str, policy_ref: str | None, form: str, publish: str, **settings: Any
) -> int:
    """
    Say what the gates before every slot of MODEL say to one of its versions: why it can, or cannot, be promoted. Exits
    with 3 if one says no. Writes nothing.
    """
    from reconciler.core.names import ModelName, Version
    from reconciler.planning import declare, judge_version
    from reconciler.render.json import verdict_document
    from reconciler.render.text import gates_lines
    from reconciler.wiring import LockKind, load_rules

    world = _world(settings, LockKind.NONE, _forge(publish), ref=ref, policy_ref=policy_ref)
    desired = declare(world, ref).desired
    rules = load_rules(world, desired.revision, ref=policy_ref or ref, policy_ref=policy_ref, ahead=True)
    wanted = None if version is None else Version(version)
    chosen, verdicts = judge_version(world, desired, ModelName(model), wanted, rules)
    if form == "json":
        click.echo(json.dumps([verdict_document(verdict) for verdict in verdicts], indent=2, ensure_ascii=False))
    else:
        console.show(gates_lines(ModelName(model), chosen, verdicts, console.width()))
    return ExitCode.BLOCKED if any(verdict.blocks for verdict in verdicts) else ExitCode.OK


@cli.command(short_help="Say who can write the governed slots.")
@_registry_options
@click.option(
    "--check",
    "identity",
    type=click.Choice(["person", "plan", "check", "apply"]),
    is_flag=False,
    flag_value="person",
    help="Prove it for the user in RECONCILER_ACCESS_USERNAME and RECONCILER_ACCESS_PASSWORD, who is a person unless "
    "the job of a command is named. It is tried on scratch models, which are removed again.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def access(identity: str | None, form: str, **settings: Any) -> int:
    """
    Say whether the registry's server can leave the governed slots to the job alone, with which roles, and what stays
    open. With --check, prove it; exits with 3 if it does not hold. The registry's address is never the policy's.
    """
    from reconciler.core.access import Access, Identity
    from reconciler.render.access import access_document, access_lines
    from reconciler.reporter import Uninterrupted
    from reconciler.wiring import checked_user, registry_access, registry_uri_given

    uri = registry_uri_given(settings["registry_uri"], os.environ)
    registry = registry_access(uri)
    server, proof = registry.server(), None
    if identity is not None:
        try:
            with Uninterrupted() as ending:
                proof = registry.prove(server, Identity(identity), checked_user(os.environ), ending.begin)
        except KeyboardInterrupt:
            console.say("Interrupted: no scratch model is left.")
            return ExitCode.INTERRUPTED
    result = Access(server, None if proof else _governed({**settings, "registry_uri": uri}), proof)
    if form == "json":
        click.echo(json.dumps(access_document(result), indent=2, ensure_ascii=False))
    else:
        console.show(access_lines(result, console.width()))
    if proof is None:
        return ExitCode.OK
    if proof.leftovers:
        return ExitCode.ERROR
    return ExitCode.OK if proof.holds else ExitCode.BLOCKED


def _governed(settings: dict[str, Any]) -> "Governed | None":
    """What HEAD declares, where there is a repository: whoever runs the server need not have one."""
    from reconciler.core.access import governed
    from reconciler.planning import declare
    from reconciler.wiring import LockKind

    try:
        return governed(declare(_world(settings, LockKind.NONE), "HEAD").desired)
    except ReconcilerError as error:
        console.note(f"The governed slots are not listed: {error}")
        return None


@cli.command(short_help="Run the policy's checks on a version.")
@click.argument("model")
@click.argument("version", type=click.IntRange(1))
@_registry_options
@click.option(
    "--check",
    "names",
    metavar="NAME",
    multiple=True,
    help="Only this check of the policy, or `loadable`; may be repeated.",
)
@click.option("--base", metavar="REF", help="Take the policy from where the change left this branch.")
@click.option(
    "--policy-ref",
    metavar="REF",
    callback=_unless_zeros,
    help="Take the policy, and the files it names, from this commit.",
)
@click.option(
    "--sign",
    type=click.Choice(["none", "hmac", "ssh"]),
    default="none",
    show_default=True,
    help="Sign the record: with the key in RECONCILER_CHECK_HMAC_KEY, or with --signing-key.",
)
@click.option("--signing-key", type=click.Path(path_type=Path, dir_okay=False), help="An SSH key to sign with.")
@click.option("--dry-run", is_flag=True, help="Run the checks, and record nothing.")
def check(
    model: str,
    version: int,
    names: tuple[str, ...],
    base: str | None,
    policy_ref: str | None,
    sign: str,
    signing_key: Path | None,
    dry_run: bool,
    **settings: Any,
) -> int:
    """
    Run the policy's checks on a VERSION of MODEL, and record on it what they found, for gates to ask for; `loadable`,
    which every policy has, loads the model. What is run comes from the policy's own commit. It is the only command that
    runs code of a model, and it runs none where that code could reach a credential. Exits with 3 if one fails.
    """
    from reconciler.checking import check_version, checks_to_run
    from reconciler.core.names import ModelName, Version
    from reconciler.core.policy import Policy
    from reconciler.planning import standing_commit
    from reconciler.reporter import check_lines
    from reconciler.wiring import LockKind, SignKind, policy_reader, signer_of, trusted_files

    signer = signer_of(SignKind(sign), signing_key, os.environ)
    world = _world(settings, LockKind.NONE, base=base, ref=None if base else "HEAD", policy_ref=policy_ref)
    named = standing_commit(world.source, base=base, ref=None, policy_ref=policy_ref or (None if base else "HEAD"))
    commit = world.source.read(named).revision.commit
    policy = replace(policy_reader(world)(commit) or Policy(), commit=commit)
    if world.benches is None:
        raise ReconcilerError("This registry has no model files to check.")
    widest = max(len(one.name) for one in checks_to_run(policy, ModelName(model), names))
    with trusted_files(world, policy.commit) as tree:
        results = check_version(
            world.benches,
            world.clock,
            ModelName(model),
            Version(version),
            policy,
            tree,
            names,
            sign=signer,
            tool=f"reconciler {__version__}",
            write=not dry_run,
            report=lambda event: console.show(check_lines(event, widest)),
            secret_files=[] if signing_key is None else [str(signing_key)],
        )
    if not dry_run and not all(result.written for result in results):
        return ExitCode.ERROR
    return ExitCode.OK if all(result.passed for result in results) else ExitCode.BLOCKED


@cli.command(short_help="Bring the registry to what a commit declares.")
@click.argument("saved", metavar="[PLAN]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@_registry_options
@click.option("--ref", metavar="REF", help="Apply this commit instead of HEAD, whatever is in the work tree.")
@_plan_options
@click.option("--yes", is_flag=True, help="Do not ask. Needed where there is no terminal, unless PLAN is given.")
@click.option(
    "--allow-rewind", "rewind_to", metavar="COMMIT", help="Apply this commit though it does not contain the last one."
)
@click.option(
    "--restore",
    metavar="MODEL",
    multiple=True,
    help="Put this model, and no other, back where it is declared, if somebody moved it by hand; may be repeated.",
)
@click.option(
    "--signing-key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The SSH key that signs our records. Default: RECONCILER_SIGNING_KEY, its text or its path.",
)
@click.option("--expect-digest", metavar="DIGEST", help="Apply only what has this digest: the one that was reviewed.")
@click.option(
    "--expect-reviewed",
    is_flag=True,
    help="Apply only what our comment shows under the change request that the commit came from. Needs --publish.",
)
@click.option("--parallelism", type=click.IntRange(1, 64), default=8, show_default=True, help="Models at a time.")
@click.option(
    "--lock",
    type=click.Choice(["auto", "git", "file"]),
    default="auto",
    show_default=True,
    help="Where the lock is: a ref on the git remote, or a file on this machine (auto: for sqlite:/// only).",
)
@click.option("--no-lock", is_flag=True, help="Apply without a lock, because you know that nobody else does.")
@click.option(
    "--lock-timeout",
    type=click.FloatRange(0),
    default=180.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the lock.",
)
@click.option("--receipt", type=click.Path(path_type=Path, dir_okay=False), help="Write what was done to this file.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@_publish_option
@click.pass_context
def apply(
    context: click.Context,
    saved: Path | None,
    ref: str | None,
    yes: bool,
    rewind_to: str | None,
    restore: tuple[str, ...],
    signing_key: Path | None,
    expect_digest: str | None,
    expect_reviewed: bool,
    parallelism: int,
    lock: str,
    no_lock: bool,
    lock_timeout: float,
    receipt: Path | None,
    log_format: str,
    publish: str,
    **settings: Any,
) -> int:
    """Bring the registry to what a commit declares: HEAD, or --ref; with a saved PLAN, only if it still holds."""
    from reconciler.clocks import SystemClock
    from reconciler.events import Journal
    from reconciler.pipeline import ApplyRequest, Reviewed, StalePlanError
    from reconciler.pipeline import apply as apply_commit
    from reconciler.publishing import keep_receipt
    from reconciler.reporter import Reporter, show_difference
    from reconciler.wiring import (
        LockKind,
        load_rules,
        options_of,
        read_plan,
        record_signer,
        reviewed_of,
        what_was_reviewed,
    )

    console.refuse_unwritable(receipt)
    _refuse_two_expectations(saved is not None, expect_digest, expect_reviewed)
    if saved is not None:
        _refuse_plan_options(context)
    asking = saved is None and not yes
    if asking and not (sys.stdin.isatty() and sys.stdout.isatty() and log_format == "text"):
        raise click.UsageError("There is no terminal to ask on: review a plan, then pass --yes or the saved plan.")
    if expect_reviewed and publish == "none":
        raise click.UsageError("--expect-reviewed needs --publish, to know where the review was.")
    clock = SystemClock()
    journal, reporter = Journal(clock.now()), Reporter(log_format, clock.now)

    def carry_out() -> "tuple[Receipt, Publication]":
        document = read_plan(saved) if saved is not None else None
        forge = _forge(publish)
        world = _world(
            settings,
            LockKind.NONE if no_lock else LockKind(lock),
            forge,
            ref=ref or "HEAD",
            policy_ref=settings["policy_ref"],
        )
        reporter.registry, reporter.workspace = world.registry.uri, world.registry.workspace
        if document is not None:
            _refuse_other_place(document, world)
        publication = _publication(forge, world)
        revision = world.source.read(ref or "HEAD").revision
        journal.about(revision, world.registry.uri, world.registry.workspace)
        rules = load_rules(world, revision, ref=ref or "HEAD", policy_ref=settings["policy_ref"])
        settings["targets"] = settings["targets"] or restore
        reviewed = None if document is None else reviewed_of(document)
        if expect_digest is not None:
            reviewed = Reviewed(expect_digest, any_commit=True)
        request = ApplyRequest(
            ref=ref,
            options=_options(settings, rules) if document is None else options_of(document),
            reviewed=reviewed,
            confirm=reporter.confirm if asking else None,
            look_up=None
            if forge is None or not expect_reviewed
            else lambda commit: what_was_reviewed(forge, publication.key or "", commit),
            rules=rules,
            restore=frozenset(restore),
            rewind_to=None if rewind_to is None else world.source.read(rewind_to).revision.commit,
            parallelism=parallelism,
            lock_timeout=lock_timeout,
            stop=reporter.stop,
        )
        try:
            with record_signer(signing_key, os.environ) as sign:
                done = apply_commit(world, replace(request, sign=sign), journal.passing_on(reporter.report))
        except StalePlanError as error:
            if document is not None:
                show_difference(document, error.plan)
            publication.refused(error)
            raise
        except ReconcilerError as error:
            publication.refused(error)
            raise
        return done, publication

    try:
        with reporter:
            done, publication = carry_out()
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | click.Abort)
        if receipt is not None:
            keep_receipt(journal.broken_off(KeyboardInterrupt() if stopped else error, clock.now()), receipt)
        if not stopped or not journal.begun:
            raise
        console.say("Broken off: the models in hand may be half done. Run it again: what is done stays done.")
        return ExitCode.INTERRUPTED
    kept = receipt is None or keep_receipt(done, receipt)
    reporter.finish(done)
    publication.receipt(done)
    if reporter.unheard:
        console.say_error(f"Standard output could not be written: {reporter.unheard}. The apply went on without it.")
    return done.exit_code if kept and not reporter.unheard else ExitCode.ERROR


def _world(
    settings: dict[str, Any],
    lock: "LockKind",
    forge: "Forge | None" = None,
    *,
    base: str | None = None,
    ref: str | None = None,
    policy_ref: str | None = None,
) -> "World":
    from reconciler.wiring import Settings, open_world

    return open_world(
        Settings(settings["manifests"], settings["registry_uri"], settings["repository"], settings["remote"], lock),
        os.environ,
        forge=forge,
        base=base,
        ref=ref,
        policy_ref=policy_ref,
    )


def _options(settings: dict[str, Any], rules: "Rules") -> "PlanOptions":
    from reconciler.core.plan import Limits, PlanOptions

    given, laid_down, usual = settings["max_change_percent"], rules.policy.settings, Limits()
    percent = laid_down.max_change_percent if given is None else given
    return PlanOptions(
        targets=tuple(sorted(set(settings["targets"]))),
        adopt=settings["adopt"],
        force=settings["force"],
        allow_empty=settings["allow_empty"],
        limits=Limits(
            share=usual.share if percent is None else percent / 100,
            models=usual.models if laid_down.max_change_models is None else laid_down.max_change_models,
        ),
    )


def _refuse_plan_options(context: click.Context) -> None:
    from click.core import ParameterSource

    given = [
        f"--{name.replace('targets', 'target').replace('_', '-')}"
        for name in ("targets", "adopt", "force", "allow_empty", "max_change_percent")
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"A saved plan has its own options: give {', '.join(given)} to `plan` instead.")


def _refuse_two_expectations(saved: bool, digest: str | None, reviewed: bool) -> None:
    given = [
        name
        for name, is_given in (
            ("a saved plan", saved),
            ("--expect-digest", digest is not None),
            ("--expect-reviewed", reviewed),
        )
        if is_given
    ]
    if len(given) > 1:
        raise click.UsageError(f"Give only one of {' and '.join(given)}: each says what was reviewed.")
    if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise click.UsageError(f"`{digest}` is not the digest of a plan, which has 64 hexadecimal digits.")


def _refuse_other_place(document: "PlanDocument", world: "World") -> None:
    from reconciler.render.words import registry

    base, now = document["base"], world.registry
    planned = (base["registry"], base.get("workspace", ""))
    if planned != (now.uri, now.workspace):
        raise ReconcilerError(
            f"The plan is for the registry {registry(*planned)}, and this is {registry(now.uri, now.workspace)}.",
            "Plan again for this registry, or name that one, and its workspace in MLFLOW_WORKSPACE.",
        )
