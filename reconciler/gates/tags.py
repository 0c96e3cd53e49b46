"""Which tags a version, or its model, must carry."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from reconciler.core.gate import CANDIDATE, MODEL, Entrance, FactKey, Facts, Judgement, failed, passed, unknown
from reconciler.core.text import plain
from reconciler.gates.parameters import GateKind, Key


@dataclass(frozen=True, slots=True)
class Tags:
    """
    Tags with their values, of the `version` or of the `model`. A value may be a pattern (`*`, `?`, `[…]`) and is
    matched letter by letter; a blank one is no value, so that `*` asks for any.
    """

    required: Annotated[
        Mapping[str, str], Key("Key → value; `*` matches any value.", examples=({"validated-by": "*"},), name="require")
    ]
    of: Annotated[
        Literal["version", "model"], Key("Whose tags: the version's or the registered model's.", examples=("model",))
    ] = "version"

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return (MODEL,) if self.of == "model" else (CANDIDATE,)

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        if self.of == "model":
            who, tags, declared = "the model", facts[MODEL].tags, frozenset[str]()
        else:
            who, tags, declared = f"v{entrance.candidate}", facts[CANDIDATE].tags, facts[CANDIDATE].self_declared
            if why := facts[CANDIDATE].why_missing("version", "tags"):
                return unknown(f"the tags of {who} are not known: {plain(why)}")
        faults = [fault for key in sorted(self.required) if (fault := self._fault(key, tags, declared))]
        if faults:
            return failed(f"{who} {'; '.join(faults)}")
        carried = ", ".join(f"{plain(key, 80)} = {plain(tags[key], 80)}" for key in sorted(self.required))
        return passed(f"{who} carries {carried}" if carried else "no tags are required")

    def _fault(self, key: str, tags: Mapping[str, str], declared: frozenset[str]) -> str:
        value, pattern, name = tags.get(key), self.required[key], plain(key, 80)
        if key in declared:
            return f"has the tag {name} from its manifest, which does not count"
        if value is None:
            return f"has no tag {name}"
        if not value.strip():
            return f"has a blank tag {name}"
        if not fnmatchcase(value, pattern):
            return f"has {name} = {plain(value, 80)} (required: {plain(pattern, 80)})"
        return ""


TAGS = GateKind(
    "tags",
    Tags,
    asks='have these tags with these values, on the `version` or on its `model`; `"*"` is any value',
    example={"require": {"validated-by": "*"}},
)
