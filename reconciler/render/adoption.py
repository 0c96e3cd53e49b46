"""What an import found: model by model, and then what whoever adopts the registry should look at."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from reconciler.core.adoption import Imported, Outcome, Remark
from reconciler.core.names import ModelRef
from reconciler.core.text import amount
from reconciler.render import words
from reconciler.render.folds import FEWEST, NAMED
from reconciler.render.layout import WIDTH, Line, cells, flowed, padded

MOST = 20
"""So many lines about one concern are shown; of the other models, only the names."""

WIDEST = 32
"""So wide is the column of names at most."""

LISTED = 200
"""So many models are shown one by one."""

_STYLE = {Outcome.NEW: "add", Outcome.ADDED: "change", Outcome.LEFT_OUT: "warn", Outcome.SAME: "faint"}
_LABELLED = max(map(len, Outcome)) + 2


def import_lines(models: Sequence[Imported], width: int = WIDTH) -> Iterator[Line]:
    """Every model with its files; then the remarks, the weightiest first; the last line sums up."""
    for outcome in Outcome:
        yield from _outcome_lines(outcome, [model for model in models if model.outcome is outcome], width)
    pairs = sorted((remark, model.model) for model in models for remark in model.remarks)
    if pairs:
        yield ()
        yield (("name", "To look at:"),)
    for _, alike in groupby(pairs, lambda pair: pair[0].concern):
        yield from _concern_lines(list(alike), width)
    yield ()
    yield (("", summary_line(models)),)


def summary_line(models: Iterable[Imported]) -> str:
    """`Import: 198 new, 2 added to, 1 left out, 12 same.`"""
    counts = Counter(model.outcome for model in models)
    return (
        f"Import: {', '.join(f'{counts[outcome]} {outcome}' for outcome in Outcome if counts[outcome]) or 'nothing'}."
    )


def _outcome_lines(outcome: Outcome, models: Sequence[Imported], width: int) -> Iterator[Line]:
    head = (_STYLE[outcome], f"{outcome:<{_LABELLED}}")
    most = LISTED if outcome is not Outcome.SAME or len(models) < FEWEST else 0
    shown = [(words.clean(model.model), ", ".join(map(words.clean, model.paths))) for model in models[:most]]
    wide = min(max((cells(name) for name, _ in shown), default=0), WIDEST)
    for name, paths in shown:
        yield from flowed((head, ("name", f"{padded(name, wide)}  ")), (("faint", paths),), width)
    if rest := [model.model for model in models[most:]]:
        yield from flowed((head,), _counted(rest, more=most > 0), width)


def _concern_lines(pairs: Sequence[tuple[Remark, ModelRef]], width: int) -> Iterator[Line]:
    """What is to be said of several models is said once."""
    shown: list[tuple[str, list[ModelRef]]] = []
    for text, alike in groupby(pairs, lambda pair: pair[0].text):
        names = [name for _, name in alike]
        shown += [(text, names)] if len(names) >= FEWEST else [(text, [name]) for name in names]
    shown.sort(key=lambda entry: (-len(entry[1]), entry[1]))
    for text, names in shown[:MOST]:
        if len(names) > 1:
            body = (("", f"{words.clean(text)} "), ("faint", f"({words.names(names, NAMED)})"))
            yield from flowed((("name", f"  {amount(len(names), 'model')}  "),), body, width)
        else:
            yield from flowed((("name", f"  {words.clean(names[0])}  "),), (("", words.clean(text)),), width)
    if rest := sorted({name for _, names in shown[MOST:] for name in names}):
        yield from flowed((("", "  "),), (*_counted(rest, more=True), ("", ", for similar reasons")), width)


def _counted(names: Sequence[ModelRef], *, more: bool) -> Line:
    number = f"{len(names)} more models" if more else amount(len(names), "model")
    return ("name", number), ("faint", f"  {words.names(names, NAMED)}")
