"""Houses for tests; `tests/attacks` and `tests/everyday` take them from here."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house import House, Way

SIGNED = {True: "with signers", False: "without signers"}


@pytest.fixture(params=SIGNED, ids=list(SIGNED.values()))
def signed(request: pytest.FixtureRequest) -> bool:
    """Whether the policy names a key that signs records."""
    return bool(request.param)


@pytest.fixture(params=list(Way), ids=lambda way: way.value)
def way(request: pytest.FixtureRequest) -> Way:
    """How requests are merged."""
    return Way(request.param)


PAIRS = [*((True, way) for way in Way), (False, Way.MERGE), (False, Way.REBASE)]

EVERY_WAY = pytest.mark.parametrize(
    ("signed", "way"), PAIRS, ids=[f"{SIGNED[signed]}-{way.value}" for signed, way in PAIRS], indirect=True
)
"""
With signers by every way; without by the two that leave least alike histories. `tests/attacks/test_house.py` promotes
without signers by the others too.
"""


@pytest.fixture
def house(tmp_path: Path, signed: bool) -> House:
    """An empty house; each test is run with signers and without."""
    return House.build(tmp_path, signed=signed)


@pytest.fixture
def signing_house(tmp_path: Path) -> House:
    """An empty house whose records are signed."""
    return House.build(tmp_path, signed=True)


@pytest.fixture
def plain_house(tmp_path: Path) -> House:
    """An empty house whose policy names no signers."""
    return House.build(tmp_path)


@pytest.fixture
def houses(tmp_path: Path) -> Callable[..., House]:
    """Makes houses, each in a folder of its own."""
    made: list[House] = []

    def build(*, signed: bool = False, way: Way = Way.MERGE) -> House:
        folder = tmp_path / f"house-{len(made)}"
        folder.mkdir()
        made.append(House.build(folder, signed=signed, way=way))
        return made[-1]

    return build
