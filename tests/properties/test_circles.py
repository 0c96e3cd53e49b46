"""Copies of copies: for every way in which models are declared to be copied from each other."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.desired import resolve
from reconciler.ports import SourceFile
from reconciler.reading.manifest import parse

MODELS = range(6)
COPIED = st.dictionaries(st.sampled_from(MODELS), st.sets(st.sampled_from(MODELS), max_size=3))


def reached(copied: Mapping[int, set[int]], start: int) -> set[int]:
    found, waiting = set[int](), [start]
    while waiting:
        more = copied.get(waiting.pop(), set()) - found
        found |= more
        waiting.extend(more)
    return found


@given(COPIED)
@settings(max_examples=150)
def test_a_copy_is_in_a_circle_where_its_original_leads_back_to_it(copied: Mapping[int, set[int]]) -> None:
    files: list[SourceFile] = []
    circular: set[str] = set()
    for model, originals in copied.items():
        versions = [f"    - {{from: {{model: m{original}, version: 1}}}}\n" for original in sorted(originals)]
        text = "".join([f"model: m{model}\n", "stages:\n  Staging:\n" if versions else "", *versions])
        files.append(SourceFile(f"manifests/m{model}.yaml", text.encode()))
        circular |= {f"m{model} is copied from m{o}," for o in originals if model in {o} | reached(copied, o)}

    fragments, problems = parse(files)
    _, wrong = resolve(fragments)

    assert problems == ()
    assert {problem.message.partition(" and")[0] for problem in wrong} == circular
