"""A registry that is adopted: whatever it holds, what is written of it moves nothing."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.adoption import Adopt, adopt, claimable
from reconciler.core.changes import Claim
from reconciler.core.desired import DesiredState, Revision, resolve
from reconciler.core.likeness import StandingNames, refuse_look_alikes
from reconciler.core.names import ACTIVE_STAGES, AliasName, ModelRef, RepositoryId, Stage, Version
from reconciler.core.plan import PlanOptions, build_plan
from reconciler.core.policy import Policy
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot, VersionSnapshot
from reconciler.errors import Severity
from reconciler.ports import SourceFile
from reconciler.reading.manifest import KEY_ORDER, parse
from reconciler.writing.canonical import canonical
from reconciler.writing.layout import Split, new_files, taken_by
from tests.manifest_texts import VISIBLE, alias_names, tag_keys

REVISION = Revision(RepositoryId("r"))

names = st.text(VISIBLE | st.sampled_from("Aa1-_. \u0430\uff21"), min_size=1, max_size=12).filter(
    lambda name: name.strip() not in {"", ".", ".."} and not {"/", ":"} & set(name)
)
stages = st.dictionaries(st.integers(1, 30).map(Version), st.sampled_from(Stage), max_size=6)


@st.composite
def registries(draw: st.DrawFn) -> RegistrySnapshot:
    """Models with odd names, several versions in a stage, and aliases on versions that are archived or gone."""
    models: dict[ModelRef, ModelSnapshot] = {}
    for name in draw(st.lists(names.map(ModelRef), max_size=4, unique=True)):
        versions = draw(stages)
        aliases = draw(st.dictionaries(alias_names.map(AliasName), st.integers(1, 30).map(Version), max_size=3))
        models[name] = ModelSnapshot(
            name,
            draw(st.text(VISIBLE, max_size=20)),
            draw(st.dictionaries(tag_keys, st.text(VISIBLE, max_size=5), max_size=2)),
            aliases,
            {number: VersionSnapshot(number, stage) for number, stage in versions.items()},
            hidden_model=draw(st.booleans() if not versions else st.just(False)),
        )
    return RegistrySnapshot(models)


def files_of(snapshot: RegistrySnapshot, options: Adopt, split: Split) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for adoption in claimable(adopt(snapshot, {}, options), snapshot, REVISION, Policy()):
        if adoption.after is not None:
            about = {version: f"# {{: {version}" for version in snapshot.models[adoption.model].versions}
            found |= new_files(adoption.after, "manifests", split, taken_by(found), about)
    return found


@given(registries(), st.booleans(), st.sampled_from(Split))
def test_the_plan_after_an_import_claims_and_moves_nothing(
    snapshot: RegistrySnapshot, whole: bool, split: Split
) -> None:
    options = Adopt(tags=whole, descriptions=whole, owners=[("*", ("@acme/ml",))])

    files = files_of(snapshot, options, split)

    fragments, problems = parse(SourceFile(path, text.encode()) for path, text in files.items())
    declared, contradictions = resolve(fragments)
    assert not [p for p in (*problems, *contradictions) if p.severity is Severity.ERROR]
    desired = DesiredState(REVISION, declared)
    bare = build_plan(desired, snapshot, PlanOptions())
    plan = refuse_look_alikes(bare, snapshot, desired, StandingNames(), Policy())
    assert not any(model.blocked for model in plan.models)
    assert all(isinstance(change, Claim) for model in plan.models for change in model.changes)
    assert all(manifest.owner_names == ("@acme/ml",) for manifest in declared.values())
    for name, live in snapshot.models.items():
        if name.isascii() and all(map(str.isascii, live.aliases)) and not live.hidden_model:
            stages = {stage: live.occupants(stage) for stage in ACTIVE_STAGES if live.occupants(stage)}
            aliases = {alias: number for alias, number in live.aliases.items() if number in live.versions}
            assert {s: tuple(pin.version for pin in d.value) for s, d in declared[name].stages.items()} == stages
            assert {a: d.value and d.value.version for a, d in declared[name].aliases.items()} == aliases


@given(registries(), st.sampled_from(Split))
def test_what_an_import_writes_has_the_canonical_layout(snapshot: RegistrySnapshot, split: Split) -> None:
    options = Adopt(tags=True, descriptions=True, owners=[("*", ("@acme/ml",))])

    for text in files_of(snapshot, options, split).values():
        assert canonical(text, KEY_ORDER) == text
