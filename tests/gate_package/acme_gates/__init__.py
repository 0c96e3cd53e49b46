"""
A gate of somebody else's, as a package that is installed beside reconciler brings it: a class, a function that makes
one of the parameters below `with`, and an entry point in the group `reconciler.gates`.

    slots:
      - slot: Production
        gates:
          - uses: acme-cost
            with: {most: 12.5}
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.gates import CANDIDATE, Entrance, FactKey, Facts, Judgement, failed, passed, unknown


@dataclass(frozen=True, slots=True)
class Cost:
    """The tag `cost-per-million` of a version, in euros, is at most so much."""

    most: float

    def needs(self, entrance: Entrance) -> Iterable[FactKey[Any]]:
        return [CANDIDATE]

    def judge(self, entrance: Entrance, facts: Facts) -> Judgement:
        told = facts[CANDIDATE].tags.get("cost-per-million", "")
        try:
            cost = float(told)
        except ValueError:
            return unknown(f"v{entrance.candidate} has no tag cost-per-million with a number in it")
        within = cost <= self.most
        sentence = f"a million predictions cost {cost:g} euros, at most {self.most:g} are allowed"
        return passed(sentence) if within else failed(sentence)


def cost(parameters: Mapping[str, object]) -> Cost:
    """The entry point. Raises ValueError for parameters that are wrong, which becomes a problem at their line."""
    most = parameters.get("most")
    if not isinstance(most, int | float) or set(parameters) != {"most"}:
        raise ValueError("acme-cost takes one parameter, `most`, a number")
    return Cost(float(most))
