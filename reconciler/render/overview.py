"""Every slot and how it stands, for a terminal, for Markdown, and for Prometheus to scrape from a file."""

from collections.abc import Iterable, Iterator

from reconciler.core.drift import DriftStatus
from reconciler.core.moments import moment
from reconciler.core.overview import ModelOverview, Overview, SlotOverview, SlotState
from reconciler.render import words
from reconciler.render.layout import WIDTH, Line, cells, flowed, padded
from reconciler.version import __version__

STYLE = {
    SlotState.IN_SYNC: "faint",
    SlotState.PENDING: "change",
    SlotState.DRIFTED: "remove",
    SlotState.UNKNOWN: "warn",
    SlotState.UNGOVERNED: "faint",
}
REMARK = {"blocked": "error", "drifted": "remove", "pending": "change", "unknown": "warn"}
_STATES = max(map(len, SlotState))


def overview_lines(overview: Overview, width: int = WIDTH) -> Iterator[Line]:
    """Each model with its slots; the last line is the one that scripts may parse."""
    drift = overview.drift
    where = words.registry(drift.registry, drift.workspace)
    yield from flowed((), (("", f"Status of {where}, as seen from {words.revision(drift.revision)}"),), width)
    for model in overview.models:
        yield ()
        note = words.model_note(model)
        yield from flowed((("name", words.clean(model.model)),), (("faint", f"  {note}" if note else ""),), width)
        for row in _rows(model.slots, width):
            yield from row
        for label, text in words.model_remarks(model):
            style = REMARK[label]
            yield from flowed(((style, f"  {label.ljust(_STATES)}  "),), (("", text),), width)
    yield ()
    if ways := words.ways_out(drift):
        yield from flowed((), (("", ways),), width)
    yield (("name", words.overview_line(overview)),)


def _rows(slots: Iterable[SlotOverview], width: int) -> Iterator[Iterator[Line]]:
    shown = [(slot, words.clean(slot.slot), words.slot_says(slot)) for slot in slots]
    wide = min(max((cells(name) for _, name, _ in shown), default=0), 24)
    broad = min(max((cells(says) for _, _, says in shown), default=0), 24)
    for slot, name, says in shown:
        since = words.slot_since(slot)
        head = ((STYLE[slot.state], f"  {slot.state.ljust(_STATES)}  "), ("", f"{padded(name, wide)}  "))
        yield flowed(head, (("", padded(says, broad if since else 0)), ("faint", f"  {since}" if since else "")), width)


_PREFIX = "reconciler"


def prometheus(overview: Overview) -> str:
    """
    The text format of Prometheus, for the textfile collector of node_exporter. The names of models and slots are its
    only labels, and it has no time stamps, which that collector refuses.
    """
    drift, models = overview.drift, overview.models
    slots = [(model.model, slot) for model in models for slot in model.slots]
    read_at = moment(overview.read_at)

    def of(model: str, slot: SlotOverview, **more: str) -> dict[str, str]:
        return {"model": model, "slot": slot.slot, **more}

    families = [
        _family("info", "The release of reconciler that wrote this file.", [({"version": __version__}, 1)]),
        _family(
            "status_timestamp_seconds",
            "When the registry was read, in seconds since 1970.",
            [({}, int(read_at.timestamp()))] if read_at else [],
        ),
        _family(
            "models",
            "Governed models by their state.",
            [({"state": status}, sum(model.status is status for model in drift.models)) for status in DriftStatus],
        ),
        _family(
            "slot_state",
            "1 for the state that a slot is in, 0 for the others.",
            [(of(m, s, state=state), int(s.state is state)) for m, s in slots for state in SlotState],
        ),
        _family(
            "slot_version",
            "The version that consumers of a slot get.",
            [(of(m, s), s.served.version) for m, s in slots if s.served],
        ),
        _family(
            "slot_declared_version",
            "The version that consumers of a slot are to get, by the manifests.",
            [(of(m, s), s.declared[-1]) for m, s in slots if s.declared],
        ),
        _family(
            "slot_since_timestamp_seconds",
            "Since when that version is in the slot, or when MLflow last saw it change, in seconds since 1970.",
            [
                (of(m, s), int(since.timestamp()))
                for m, s in slots
                if s.served and s.served.since and (since := moment(s.served.since))
            ],
        ),
    ]
    return "".join(families)


def _family(name: str, about: str, samples: Iterable[tuple[dict[str, str], int]]) -> str:
    full = f"{_PREFIX}_{name}"
    lines = [f"# HELP {full} {about}", f"# TYPE {full} gauge"]
    for labels, value in samples:
        written = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{full}{{{written}}} {value}" if written else f"{full} {value}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def sorted_by_weight(models: Iterable[ModelOverview]) -> list[ModelOverview]:
    """What somebody has to look at comes first."""
    return sorted(models, key=lambda model: (_weight(model), model.model))


def _weight(model: ModelOverview) -> int:
    states = [*(slot.state for slot in model.slots), *([SlotState(model.drift.status)] if model.drift else [])]
    return min((list(SlotState).index(state) for state in states if model.drift), default=len(SlotState))
