"""Receipts of every kind in a chain: what is told of one by its ends is what it says."""

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.chain import Chain, Link, Stored, digest_of, read_link, structure
from reconciler.core.names import Commit
from reconciler.core.records import Seal, SealKind

TEXT = st.one_of(
    st.text(max_size=12), st.sampled_from([',"sequence":7', '"signature":null}', '{"at":"', "\\", '"', "\n"])
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
SEAL = st.none() | st.builds(Seal, st.sampled_from(SealKind), TEXT, TEXT)
LINK = st.builds(Link, TEXT, TEXT | st.just("2026-05-01T10:00:00Z"), st.dictionaries(TEXT, JSON, max_size=3), seal=SEAL)


def chained(links: list[Link]) -> Chain:
    stored: list[Stored] = []
    number, digest = 0, ""
    for link in links:
        placed = link.behind(number, digest)
        stored.append(Stored(Commit("a" * 40), placed.text))
        number, digest = placed.sequence, digest_of(placed.text)
    return Chain("here", tuple(stored))


@given(st.lists(LINK, max_size=5))
@settings(max_examples=300, deadline=None)
def test_what_is_told_of_a_receipt_by_its_ends_is_what_it_says(links: list[Link]) -> None:
    for one in chained(links).stored:
        assert one.place == read_link(one.text).place


@given(st.lists(LINK, min_size=1, max_size=5), st.data())
@settings(max_examples=300, deadline=None)
def test_what_does_not_follow_is_seen_from_outside_as_well(links: list[Link], data: st.DataObject) -> None:
    chain = chained(links)
    kept = data.draw(st.lists(st.sampled_from(chain.stored), unique=True, max_size=5))
    other = Chain("here", tuple(kept))

    assert structure(other, briefly=True) == structure(other)
