"""Models of which the same is to be said are said together. What enters a guarded slot is never among them."""

from reconciler.core.diff import ModelPlan
from reconciler.core.plan import Value, Verb, effects_of
from reconciler.core.review import Review

FEWEST = 3
"""Fewer models than this are shown one by one."""

NAMED = 10
"""So many of them are named; the others are counted."""

_RECORDS = frozenset({Verb.CREATE, Verb.CLAIM, Verb.RELEASE, Verb.DESCRIBE, Verb.TAG, Verb.UNTAG, Verb.FIND})


def folded(review: Review) -> tuple[tuple[ModelPlan, ...], ...]:
    """
    The models in the order in which people read of them, those alike in one group where there are several: nothing of
    them moves or is judged, the same records and texts are written for all, and where there is no policy at all, the
    same versions are found in the same slots.
    """
    groups: dict[object, list[ModelPlan]] = {}
    for model in review.models:
        groups.setdefault(_likeness(review, model) or model.model, []).append(model)
    return tuple(
        part
        for group in groups.values()
        for part in ([tuple(group)] if len(group) >= FEWEST else [(model,) for model in group])
    )


def _likeness(review: Review, model: ModelPlan) -> object:
    """What models have in common that are said together; None where a model stands by itself."""
    effects = effects_of(model)
    if model.blocked or model.verdicts or not all(e.verb in _RECORDS for e in effects):
        return None
    if model.entrances and review.policy is not None:
        return None
    return tuple((e.verb, e.subject, e.before, _of(e.after, model), e.because.why, review.origin(e)) for e in effects)


def _of(value: Value, model: ModelPlan) -> Value:
    return None if value == model.model else value
