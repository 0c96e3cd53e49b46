"""A registry that is adopted: what is declared of it, what is said, and which files that makes."""

from dataclasses import replace

import pytest

from reconciler.core.adoption import Adopt, Adoption, adopt, claimable
from reconciler.core.desired import Declared, Manifest
from reconciler.core.names import ModelRef, Version
from reconciler.core.policy import Policy
from reconciler.core.proposal import NOWHERE
from reconciler.core.snapshot import ModelSnapshot
from reconciler.writing.layout import Split, file_stem, home_of, new_files, taken_by
from tests.build import NOW, A, N, P, S, have, registry, want

OWNED = Adopt(owners=[("*", ("@acme/ml",))])


def adopted(live: ModelSnapshot, declared: Manifest | None = None, options: Adopt = OWNED) -> Adoption:
    (adoption,) = adopt(registry(live), {} if declared is None else {declared.name: declared}, options)
    return adoption


def said(adoption: Adoption) -> list[str]:
    return [remark.text for remark in adoption.remarks]


def texts(adoption: Adoption, split: Split = Split.MODEL, about: dict[Version, str] | None = None) -> dict[str, str]:
    assert adoption.after is not None
    return new_files(adoption.after, "manifests", split, set(), about or {})


def test_stages_and_aliases_are_declared_as_they_are() -> None:
    adoption = adopted(have({1: A, 2: P, 3: S, 4: N}, {"champion": 2, "old": 1}))

    assert texts(adoption, about={Version(2): "run brave-fox, 2026-05-10, f1 0.91"}) == {
        "manifests/churn.yaml": """\
model: churn
owners: ["@acme/ml"]
stages:
  Staging: 3
  Production: 2  # run brave-fox, 2026-05-10, f1 0.91
aliases:
  champion: 2    # run brave-fox, 2026-05-10, f1 0.91
  old: 1
"""
    }


def test_each_slot_has_a_file_of_its_own_where_owners_differ() -> None:
    files = texts(adopted(have({2: P, 3: S}, {"champion": 2})), Split.SLOT)

    assert sorted(files) == [
        "manifests/churn/aliases.yaml",
        "manifests/churn/production.yaml",
        "manifests/churn/staging.yaml",
    ]
    assert files["manifests/churn/staging.yaml"] == "model: churn\nstages:\n  Staging: 3\n"


@pytest.mark.parametrize(
    ("live", "remark"),
    [
        (have({1: P, 2: P}), "2 versions are in Production: v1, v2."),
        (have({1: S}), "Production is empty."),
        (have({1: A, 2: P}, {"champion": 1}), "@champion names v1, which is archived."),
        (have({2: P}, {"champion": 7}), "@champion names v7, which does not exist; it is not declared."),
    ],
)
def test_what_an_adopter_should_look_at_is_said(live: ModelSnapshot, remark: str) -> None:
    assert said(adopted(live)) == [remark]


def test_a_model_without_an_owner_is_said() -> None:
    assert said(adopted(have({2: P}), options=Adopt())) == ["Nobody owns it."]


def test_the_last_pattern_of_owners_that_matches_counts() -> None:
    options = Adopt(owners=[("*", ("@acme/ml",)), ("churn*", ("@acme/growth", "ada@acme.example"))])

    assert adopted(have({2: P}), options=options).after.owner_names == ("@acme/growth", "ada@acme.example")  # pyright: ignore[reportOptionalMemberAccess]


def test_what_a_manifest_declares_is_kept_and_a_difference_is_said() -> None:
    adoption = adopted(have({1: S, 2: P}, {"champion": 2}), want({P: [1]}, {"champion": 1}))

    assert adoption.after is not None
    assert [pin.version for pin in adoption.after.stages[P].value] == [1]
    assert S not in adoption.after.stages  # v1 is declared elsewhere
    assert said(adoption) == [
        "Production is declared to hold v1, but holds v2 (manifests/churn.yaml:5:3).",
        "@champion is declared to name v1, but names v2 (manifests/churn.yaml:10:3).",
    ]


def test_a_model_that_a_manifest_renames_is_left_to_it() -> None:
    renamed = replace(want({P: [2]}, name="attrition"), formerly=Declared((ModelRef("churn"),), NOWHERE))

    (adoption,) = adopt(registry(have({2: P})), {renamed.name: renamed}, OWNED)

    assert (adoption.after, said(adoption)) == (None, ["It is declared already, as a former name of attrition."])


def test_a_name_that_looks_like_another_is_not_declared() -> None:
    state = registry(have({2: P}, name="champion"), have({2: P}, name="ch\u0430mpion"))

    found = claimable(adopt(state, {}, OWNED), state, NOW, Policy())

    assert [adoption.new for adoption in found] == [True, False]
    assert said(found[1])[0].startswith("It cannot be declared: its letter `\u0430` is U+0430 CYRILLIC SMALL")


@pytest.mark.parametrize(
    ("taken", "path"),
    [
        ([], "manifests/churn.yaml"),
        (["manifests/Churn.yaml"], "manifests/churn-88b2072e.yaml"),
        (["manifests/churn/production.yaml"], "manifests/churn-88b2072e.yaml"),
    ],
)
def test_a_file_of_another_model_is_never_used(taken: list[str], path: str) -> None:
    manifest = want({P: [1]})

    assert list(new_files(manifest, "manifests", Split.MODEL, taken_by(taken))) == [path]


@pytest.mark.parametrize(
    ("declaring", "others", "home"),
    [
        (["manifests/churn.yaml"], ["manifests/a/production.yaml"], "manifests/churn.yaml"),
        (["manifests/churn/staging.yaml"], [], "manifests/churn/production.yaml"),
        (["manifests/b.yaml", "manifests/a.yaml"], [], "manifests/a.yaml"),
        ([], [], "manifests/churn.yaml"),
        ([], ["manifests/a.yaml"], "manifests/churn.yaml"),
        ([], ["manifests/a/production.yaml", "manifests/a/staging.yaml"], "manifests/churn/production.yaml"),
    ],
)
def test_a_slot_goes_where_the_layout_has_it(declaring: list[str], others: list[str], home: str) -> None:
    assert home_of(P.slot, "churn", declaring, others, "manifests") == home


def test_file_names_are_the_same_on_every_system() -> None:
    assert file_stem("RiskClassifier") == "risk-classifier"
    assert file_stem("con") == "model-con"
