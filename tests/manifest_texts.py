"""Manifests as people write them: the bad ones that are kept in files, and good ones that hypothesis makes."""

import json
import re
from pathlib import Path
from typing import Any, TypeAlias, cast

from hypothesis import strategies as st

from reconciler.core.desired import Manifest, Pin
from reconciler.core.names import alias_fault, look_alike_fault, tag_key_fault
from reconciler.reading.manifest import MAX_VERSION

Data: TypeAlias = dict[str, Any]

TOP = Path(__file__).parent.parent
EXAMPLES = sorted(TOP.joinpath("manifests").glob("**/*.yaml"))
BAD = sorted(TOP.joinpath("tests", "manifests").glob("*.yaml"))


def expected(path: Path) -> list[tuple[int, str]]:
    """What the comments of a bad manifest say: lines and codes."""
    return sorted(
        (number, code)
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
        for codes in re.findall("# expect: (.+)", line)
        for code in codes.split(", ")
    )


# Letters of every script, marks and emoji: all that a file may hold and a reviewer can see.
VISIBLE = st.characters(exclude_categories=("C", "Zl", "Zp"), codec="utf-8")
WORD = st.characters(categories=("L", "N"), include_characters="_-")

versions = st.integers(1, MAX_VERSION).flatmap(lambda number: st.sampled_from([number, str(number)]))
prose = st.text(VISIBLE | st.sampled_from("\n\t\u200d"), max_size=40)
run_ids = st.from_regex("[A-Za-z0-9][A-Za-z0-9_-]{0,255}", fullmatch=True)
pins: st.SearchStrategy[Any] = st.one_of(
    versions,
    st.fixed_dictionaries({"version": versions}, optional={"run_id": run_ids, "comment": prose}),
    st.fixed_dictionaries(dict[str, Any](run_id=run_ids), optional={"comment": prose}),
)
names = st.text(VISIBLE, min_size=1, max_size=40).filter(
    lambda name: name.strip() not in {"", ".", ".."} and not {"/", ":"} & set(name) and look_alike_fault(name) is None
)
alias_names = st.text(WORD, min_size=1, max_size=20).filter(
    lambda name: alias_fault(name) is None and look_alike_fault(name) is None
)
owners = st.text(VISIBLE, min_size=1, max_size=10).filter(lambda name: name.strip() and look_alike_fault(name) is None)
tag_keys = st.from_regex(r"[A-Za-z0-9_\-. :/]{1,20}", fullmatch=True).filter(lambda key: tag_key_fault(key) is None)
tag_values = st.one_of(st.text(VISIBLE, max_size=20), st.integers(-9, 9), st.integers())


def stage_values(least: int) -> st.SearchStrategy[Any]:
    return st.one_of(pins, st.lists(pins, min_size=least, max_size=3))


manifests: st.SearchStrategy[Data] = st.fixed_dictionaries(
    {"model": names},
    optional={
        "description": prose,
        "owners": st.lists(owners, max_size=3),
        "tags": st.dictionaries(tag_keys, tag_values, max_size=3),
        "stages": st.fixed_dictionaries(
            {},
            optional={
                "None": stage_values(1),
                "Staging": stage_values(0),
                "Production": stage_values(0),
                "Archived": stage_values(1),
            },
        ),
        "aliases": st.dictionaries(alias_names, st.one_of(st.none(), pins), max_size=3),
    },
)


def flow(value: Any) -> str:
    """YAML with brackets and quotes: JSON."""
    return json.dumps(value, ensure_ascii=False)


def block(value: Any, indent: str = "") -> str:
    """YAML with indentation, where there is something to indent."""
    match value:
        case dict() if value:
            pairs = cast(Data, value).items()
            return "".join(f"\n{indent}{flow(key)}: {block(item, indent + '  ')}" for key, item in pairs)
        case list() if value:
            items = cast(list[Any], value)
            return "".join(f"\n{indent}-   {block(item, indent + '    ').lstrip()}" for item in items)
        case _:
            return flow(value)


def meant(data: Data) -> Data:
    """What a manifest declares, in one shape however it is written."""

    def pin(value: Any) -> Data:
        whole = cast(Data, value) if isinstance(value, dict) else Data(version=value)
        return {**whole, "version": int(whole["version"])} if "version" in whole else whole

    def pins(value: Any) -> list[Data]:
        return [pin(one) for one in (cast(list[Any], value) if isinstance(value, list) else [value])]

    return {
        **data,
        "tags": {key: str(value) for key, value in data.get("tags", {}).items()},
        "stages": {stage: pins(value) for stage, value in data.get("stages", {}).items()},
        "aliases": {alias: None if value is None else pin(value) for alias, value in data.get("aliases", {}).items()},
    }


def said(manifest: Manifest) -> Data:
    """A manifest without the places."""

    def pin(one: Pin) -> Data:
        fields = {"version": one.version, "run_id": one.run_id, "comment": one.comment}
        return {key: value for key, value in fields.items() if value is not None}

    return {
        "model": manifest.name,
        **({} if manifest.description is None else {"description": manifest.description.value}),
        **({} if manifest.owners is None else {"owners": list(manifest.owners.value)}),
        "tags": {key: declared.value for key, declared in manifest.tags.items()},
        "stages": {stage.value: [pin(one) for one in declared.value] for stage, declared in manifest.stages.items()},
        "aliases": {
            alias: None if declared.value is None else pin(declared.value)
            for alias, declared in manifest.aliases.items()
        },
    }
