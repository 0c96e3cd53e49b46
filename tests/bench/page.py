"""The page `docs/benchmarks.md`."""

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence

from tests.bench.results import FAR, NEAR, Applying, Copying, Offline, Remembering, Results

MEBI = 1024 * 1024

Measured = Sequence[tuple[str, float]]


def page(results: Results) -> str:
    sections = (
        "# Benchmarks",
        _head(results),
        "## Aims",
        _table(("Aim", "Measured", ""), _aims(results)),
        "## Reading: `plan`",
        *_reading(results),
        "### Beside the script",
        *_script(results),
        "## Memory of `plan`",
        *_memory(results),
        "## Writing: `apply`",
        *_applying(results.applying),
        "## Growth",
        *_growth(results),
        "## The past: `history` and `as-of`",
        *_remembering(results.remembering),
        "## From one registry to another: `from: {registry: …}`",
        *_copying(results.copying),
        "## Without a registry",
        *_offline(results.offline),
        "## Seconds",
        "For context only: they are this machine's, on that day.",
        *_seconds(results),
        "## Run it yourself",
        "```\nmake bench\n```",
        _prose(
            """
            It makes everything in a temporary folder, and ends what it started. `.venv/bin/python tests/bench/run.py
            --quick` does the same with a small registry, in a minute, and prints the page. What setting up costs, from
            a bare clone to the end of `make demo`, and what a job installs, `tests/bench/setting_up.py` says.
            """
        ),
    )
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


def _head(results: Results) -> str:
    machine = results.machine
    return _prose(
        f"""
        How fast `reconciler` is beside the least that its work can cost, and beside the script that people write
        without it. This page is written by `make bench`, which takes about ten minutes; nothing on it is written by
        hand.

        Measured on {machine.date}: {machine.cores} cores ({machine.system}), Python {machine.python}, MLflow
        {machine.mlflow}, reconciler {machine.reconciler}; `mlflow server` on SQLite with {machine.workers} workers, on
        the same cores as the client. The load average was {machine.load_before:.1f} before and
        {machine.load_after:.1f} at the end; the bench itself makes for about two. **Read the ratios**: what is compared
        ran in turns, and of each the fastest run counts.
        """
    )


def _aims(results: Results) -> Iterator[Sequence[object]]:
    ways = ((NEAR, 5), (FAR, 20))
    for way, _ in ways:
        large = [(f"{r.versions:,} versions", r.plan / r.bare) for r in results.along(way) if r.versions >= 2_000]
        small = [(f"{r.versions:,} versions", r.plan - r.bare) for r in results.along(way) if r.versions < 2_000]
        if large:
            yield _aim(f"`plan` takes at most 1.1 times the bare requests, {way}", large, lambda ratio: ratio <= 1.1)
        yield _aim(f"`plan` takes at most 0.3 s more than the bare requests, {way}", small, lambda s: s <= 0.3, " s")
    for way, least in ways:
        aim = f"`plan` is at least {least} times as fast as the script, {way}"
        whole = [(f"{r.versions:,} versions", r.script_whole / r.plan_whole) for r in results.along(way)]
        work = [(f"{r.versions:,} versions", r.script / r.plan) for r in results.along(way)]
        yield _aim(f"{aim}, whole processes", whole, lambda ratio, least=least: ratio >= least)
        yield _aim(f"{aim}, without the imports", work, lambda ratio, least=least: ratio >= least)

    offline = results.offline
    ratios = [
        ("`--help`", offline.help / offline.help_imports),
        (f"`validate`, {offline.few} manifests", offline.validate_few / offline.validate_imports),
    ]
    imported = "" if offline.without_mlflow else " (**and MLflow is imported**)"
    aim = f"`--help` and `validate` take at most 1.5 times the import of the libraries that they need{imported}"
    yield _aim(aim, ratios, lambda ratio: offline.without_mlflow and ratio <= 1.5)

    for growth in results.growth:
        grown = [(f"{a:,} → {b:,} models", exponent) for a, b, exponent in growth.exponents()]
        if grown:
            yield _aim(f"{growth.command} grows no faster than the models: exponent", grown, lambda e: e <= 1.1)

    if growth := results.growth_kib():
        grown = [(f"{a:,} → {b:,} versions", kib) for a, b, kib in growth]
        yield _aim("`plan` takes less than 4 KiB of memory a version", grown, lambda kib: kib < 4, " KiB")

    past = results.remembering
    ratios = [(command, s / past.listing) for command, s in (("`history`", past.history), ("`as-of`", past.as_of))]
    aim = f"`history` and `as-of` take at most 2 times git's own listing of {past.commits:,} commits"
    yield _aim(aim, ratios, lambda ratio: ratio <= 2)

    applying = results.applying
    ratios = [
        ("one after the other", applying.apply / applying.bare_in_turn),
        (f"in {applying.threads} threads, as it makes them", applying.apply / applying.bare_in_threads),
    ]
    yield _aim("`apply` takes at most 1.3 times its write calls, bare", ratios, lambda ratio: ratio <= 1.3)


def _aim(name: str, measured: Measured, met: Callable[[float], bool], unit: str = "") -> tuple[str, str, str]:
    told = "; ".join(f"{what}: {value:.2f}{unit}" for what, value in measured)
    failed = [what for what, value in measured if not met(value)]
    if not failed:
        return name, told, "**met**"
    return name, told, "**not met**" if len(failed) == len(measured) else f"**not met** for {'; '.join(failed)}"


def _reading(results: Results) -> Iterator[str]:
    sizes = ", ".join(f"{r.changed_models} of {r.models:,}" for r in results.along(NEAR))
    yield _prose(
        f"""
        Registries of so many model versions, five a model, each model with a version in Staging, one in Production, an
        alias, a description, three tags a version, and our records as a former `apply` left them; a manifest for each
        model. Nothing has changed, or the Production and the alias of 1 % of the models ({sizes}). That each plan is
        just that is checked.

        *Bare* are the very requests that `plan` made, sent again with `requests.Session`, one after the other, reading
        each body and looking for the page token, and nothing more. *Work* is all that `plan` does once everything is
        imported: git, YAML, the snapshot, the diff, its proof, the printing. *Process* is the whole command, with the
        interpreter and the seconds that `import mlflow` takes. `plan` reads models and versions side by side, and while
        git and YAML are read where MLflow is imported already, as it is here; a process of its own imports it behind
        those. So where the server has a processor to spare it may take less time than the bare requests one after the
        other.
        """
    )
    head = (
        "Versions",
        "Way",
        "Requests",
        "MiB read",
        "work ÷ bare",
        "process ÷ bare",
        "1 % changed: work ÷ bare",
        "requests",
    )
    yield _table(
        head,
        (
            (
                f"{r.versions:,}",
                r.way,
                r.requests,
                f"{r.size / MEBI:.1f}",
                _times(r.plan / r.bare),
                _times(r.plan_whole / r.bare),
                _times(r.changed / r.bare),
                r.changed_requests,
            )
            for r in results.readings
        ),
    )


def _script(results: Results) -> Iterator[str]:
    yield _prose(
        """
        The script asks `MlflowClient` for each model's `get_latest_versions` and `get_model_version_by_alias`, one
        after the other, and compares with the manifest; a second version in a stage it does not see. Where there are
        many models it ran on an even sample of them, and its work is taken as many times as it would be for all.
        """
    )
    yield _table(
        ("Versions", "Way", "Requests of the script", "of plan", "script ÷ plan: processes", "work", "Models asked"),
        (
            (
                f"{r.versions:,}",
                r.way,
                f"{r.script_requests:,}",
                r.requests,
                _times(r.script_whole / r.plan_whole),
                _times(r.script / r.plan),
                f"{r.script_models:,} of {r.models:,}",
            )
            for r in results.readings
        ),
    )
    yield _prose(
        f"""
        The {FAR} is a proxy on this machine that holds everything back for 10 ms in either direction, in order, without
        a limit on how much passes; a new connection costs a round trip.

        With several workers, MLflow's server leaves a small answer on a connection that is kept open waiting some 40 ms
        for the client's delayed acknowledgement (seen in MLflow {results.machine.mlflow}). The script pays for that
        with every call, near and far; so do bare calls.
        """
    )


def _memory(results: Results) -> Iterator[str]:
    yield _table(
        ("Versions", "Peak, MiB"), ((f"{r.versions:,}", f"{r.peak_kib / 1024:.0f}") for r in results.along(NEAR))
    )
    grown = "; ".join(f"{kib:.1f} KiB a version from {a:,} to {b:,}" for a, b, kib in results.growth_kib())
    yield _prose(f"{f'It grows by {grown}. ' if grown else ''}Most of what is there from the start is `import mlflow`.")


def _applying(applying: Applying) -> Iterator[str]:
    yield _prose(
        f"""
        {applying.models} of {applying.of_models} models are promoted, with `--parallelism {applying.threads}` and the
        lock in a file: {applying.writes} writes (a model: our record, the provenance of the version that leaves and of
        the one that enters, MLflow's swap, the alias) and {applying.reads} reads. *Bare* are the same write calls, on
        as many models of the same kind in the same registry, over one connection a thread that is kept open. `apply`
        reads the registry to plan, reads each model again before its first write and after its last, and compares:
        none of that is in the bare calls. A plan afterwards found nothing to do, on the models that `apply` wrote and
        on those that were written bare.
        """
    )
    threads = f"in {applying.threads} threads"
    yield _table(
        ("`apply`, work", "ratio"),
        (
            ("÷ its writes, bare, one after the other", _times(applying.apply / applying.bare_in_turn)),
            (f"÷ its writes, bare, {threads}", _times(applying.apply / applying.bare_in_threads)),
            (
                f"÷ its writes {threads} and its reads one after the other, bare",
                _times(applying.apply / (applying.bare_in_threads + applying.bare_reads)),
            ),
            (
                f"from its first write to its last, reads between them included, ÷ its writes, bare, {threads}",
                _times(applying.writing / applying.bare_in_threads),
            ),
        ),
    )


def _growth(results: Results) -> Iterator[str]:
    yield _prose(
        """
        The work of commands that read every model, on loopback, and of a plan in which the Production and the alias of
        every model change. An exponent of 1 is as fast as the models grow.
        """
    )
    sizes = list(results.growth[0].seconds)
    yield _table(
        ("Command", *(f"{size:,} models, seconds" for size in sizes), "exponents"),
        (
            (
                growth.command,
                *_told(*growth.seconds.values()),
                ", ".join(f"{exponent:.2f}" for _, _, exponent in growth.exponents()) or "–",
            )
            for growth in results.growth
        ),
    )


def _remembering(past: Remembering) -> Iterator[str]:
    yield _prose(
        f"""
        A repository of {past.commits:,} commits, every other of which promotes one of {past.models} models and is
        followed by the receipt of its apply; the others change something else. There are {past.receipts:,} receipts,
        none signed: a signature takes one process of `ssh-keygen` more for each receipt about the model. *Listing* is
        `git log --name-only` of the folder of manifests, as a process; `history` and `as-of` are of one model, and
        their work alone counts.
        """
    )
    yield _table(
        ("Command", "÷ listing", "seconds"),
        (
            (name, _times(seconds / past.listing), f"{seconds:.2f}")
            for name, seconds in (
                ("`git log --name-only`", past.listing),
                ("`history`", past.history),
                ("`as-of`", past.as_of),
            )
        ),
    )


def _copying(copying: Copying) -> Iterator[str]:
    yield _prose(
        f"""
        A version of {copying.mebibytes} MiB in {copying.files} files is brought from one registry to another, which are
        one server here: it does the work of two. *Bare* are the same bytes with `requests`: read there, written here,
        and read back here. The copy computes digests on the way, and brings the run. The process that reads the other
        registry is there already; it takes as long to start as MLflow takes to import.
        """
    )
    yield _table(
        ("", "÷ bare", "÷ `cp -r`", "seconds"),
        (
            (name, _times(seconds / copying.bare), _times(seconds / copying.cp), f"{seconds:.2f}")
            for name, seconds in (("`cp -r`", copying.cp), ("bare", copying.bare), ("the copy", copying.bring))
        ),
    )


def _offline(offline: Offline) -> Iterator[str]:
    imported = "is not imported" if offline.without_mlflow else "**is imported**"
    yield _prose(
        f"""
        Whole processes, the best of {offline.repeats}; `python -c pass` took {offline.python:.3f} s. `--help` needs
        click, and `validate` pydantic and PyYAML too. MLflow {imported}.
        """
    )
    commands = (
        ("`import click`", offline.help_imports),
        ("`import click, yaml; from pydantic import BaseModel`", offline.validate_imports),
        ("`reconciler --help`", offline.help),
        (f"`reconciler validate`, {offline.few} manifests", offline.validate_few),
        (f"`reconciler validate`, {offline.many} manifests", offline.validate_many),
    )
    yield _table(
        ("Command", "÷ `python -c pass`", "seconds"),
        ((name, _times(seconds / offline.python), f"{seconds:.2f}") for name, seconds in commands),
    )


def _seconds(results: Results) -> Iterator[str]:
    yield _table(
        ("Versions", "Way", "bare", "plan: work", "process", "script: work", "process"),
        (
            (f"{r.versions:,}", r.way, *_told(r.bare, r.plan, r.plan_whole, r.script, r.script_whole))
            for r in results.readings
        ),
    )
    a = results.applying
    yield _table(
        ("`apply`: work", "process", "first write to last", "bare: in turn", "in threads", "reads"),
        [_told(a.apply, a.apply_whole, a.writing, a.bare_in_turn, a.bare_in_threads, a.bare_reads)],
    )


def _told(*seconds: float) -> list[str]:
    return [f"{s:.2f}" for s in seconds]


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"


def _prose(text: str) -> str:
    paragraphs = textwrap.dedent(text).strip().split("\n\n")
    return "\n\n".join(textwrap.fill(p, 120, break_long_words=False, break_on_hyphens=False) for p in paragraphs)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
