"""Manifests changed in place, however they are written: they declare what is meant, and keep all else."""

import re

from hypothesis import assume, example, given
from hypothesis import strategies as st

from reconciler.core.desired import Manifest, Pin, resolve
from reconciler.core.names import AliasName, ModelRef, Stage, Version
from reconciler.core.proposal import NOWHERE, difference, named, placed
from reconciler.errors import ReconcilerError
from reconciler.ports import SourceFile
from reconciler.reading.manifest import parse
from reconciler.writing.manifest import rewritten
from tests.manifest_texts import Data, block, flow, manifests, prose

P, S = Stage.PRODUCTION, Stage.STAGING

pins = st.builds(
    Pin,
    st.just(NOWHERE),
    st.integers(1, 2000).map(Version),
    st.none() | st.from_regex("[a-f0-9]{32}", fullmatch=True),
    st.none() | prose.filter(str.strip),
    st.dictionaries(st.sampled_from(["checked", "risk.level", "5", "yes"]), prose, max_size=2),
)


def commented(text: str, numbers: list[int]) -> str:
    """With comments on lines of their own, and behind values, where a line ends with one that is whole."""
    lines = text.split("\n")
    for at in numbers:
        where = at % (len(lines) + 1)
        before = lines[where - 1] if where else ""
        indent = re.match(" *", lines[where] if where < len(lines) else "")
        lines.insert(where, f"{indent[0] if indent else ''}# comment {at}")
        if before.endswith(("]", "}")) or re.search(r": \d+$", before):
            lines[where - 1] += f"   # beside {at}"
    return "\n".join(lines)


texts = st.one_of(
    manifests.map(lambda data: flow(data) + "\n"),
    st.builds(commented, manifests.map(lambda data: block(data).lstrip("\n") + "\n"), st.lists(st.integers(0, 40))),
)


def read(*files: SourceFile) -> dict[ModelRef, Manifest]:
    fragments, problems = parse(files)
    models, contradictions = resolve(fragments)
    assume(not problems and not contradictions)
    return models


def comments(text: str) -> list[str]:
    return sorted(re.findall(r"# (?:comment|beside) \d+", text))


@example(
    'model: churn\nstages:\n  None:\n    -   2\n    -   version: 1\n        run_id: "0"   # comment 1\n',
    Pin(NOWHERE, Version(1), None, None, {}),
    P,
    False,
)
@given(texts, pins, st.sampled_from([P, S]), st.booleans())
def test_a_version_is_placed_in_any_manifest(text: str, pin: Pin, stage: Stage, beside: bool) -> None:
    file = SourceFile("m.yaml", text.encode())
    (manifest,) = read(file).values()
    try:
        after = placed(manifest, pin, stage, beside=beside)
    except ReconcilerError:
        return
    # A version that another line says to be from another run cannot be placed by any edit.
    assume(not resolve([after])[1])

    changed = rewritten([file], after, parse, lambda _: "m.yaml")

    now = changed[0] if changed else file
    (declared,) = read(now).values()
    assert not difference(after, declared)
    assert declared.tag_values == manifest.tag_values
    assert declared.owner_names == manifest.owner_names
    assert comments(now.data.decode()) == comments(text)


@given(manifests, st.booleans(), st.lists(st.integers(0, 40)), st.integers(1, 9), st.integers(10, 99))
def test_an_alias_there_and_back_is_the_same_file(
    data: Data, in_flow: bool, remarks: list[int], here: int, there: int
) -> None:
    whole = {**data, "aliases": {**data.get("aliases", {}), "moved": here}}
    text = flow(whole) if in_flow else commented(block(whole).lstrip("\n") + "\n", remarks)
    file = SourceFile("m.yaml", text.encode())
    (manifest,) = read(file).values()

    def moved(file: SourceFile, version: int) -> SourceFile:
        after = named(manifest, AliasName("moved"), Pin(NOWHERE, Version(version)))
        (changed,) = rewritten([file], after, parse, lambda _: "m.yaml")
        return changed

    assert moved(moved(file, there), here) == file
