"""
What a registry really does: the same tests for the one in memory, for SQLite and PostgreSQL opened in place, and for a
server.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings

from reconciler.core.changes import (
    Brought,
    Change,
    Claim,
    CreateModel,
    DeleteAlias,
    DescribeModel,
    DescribeVersion,
    RecordProvenance,
    RecordTags,
    RegisterVersion,
    Release,
    RenameModel,
    SetAlias,
    TagModel,
    TagVersion,
    TransitionStage,
    UntagVersion,
    simulate,
    simulate_all,
)
from reconciler.core.desired import Manifest
from reconciler.core.diff import diff
from reconciler.core.names import (
    MAX_ALIAS,
    MAX_DESCRIPTION,
    MAX_MODEL_NAME,
    MAX_TAG_KEY,
    MAX_TAG_VALUE,
    AliasName,
    Commit,
    ModelRef,
    Original,
    Ours,
    RepositoryId,
    Stage,
    Version,
)
from reconciler.core.snapshot import (
    OWNER_TAG,
    PROVENANCE_TAG,
    TAGS_TAG,
    Attribution,
    ModelSnapshot,
    Ownership,
    Placement,
    encode_owner,
    encode_provenance,
    encode_tagged,
)
from reconciler.errors import RegistryError
from reconciler.ports import Notes, Registry, Wanted
from reconciler.registry import mlflow as mlflow_registry
from reconciler.registry.mlflow import MlflowRegistry
from reconciler.registry.noted import NotedRegistry
from reconciler.testing.memory import MemoryRegistry
from tests.build import FIRST, NOW, OURS, SECOND, A, N, P, S, have, owns, with_version
from tests.properties import states
from tests.servers import new_database

NUMBER = itertools.count()


class Place(Protocol):
    """A registry under test, and a way to bring it into a state without the code under test."""

    @property
    def registry(self) -> Registry: ...

    def seed(self, model: ModelSnapshot) -> None: ...


@dataclass
class InMemory:
    registry: MemoryRegistry

    def seed(self, model: ModelSnapshot) -> None:
        self.registry.models[model.name] = model


@dataclass
class Paper:
    """A notebook in memory."""

    notes: dict[str, Notes] = field(default_factory=dict[str, Notes])

    def read(self) -> dict[str, Notes]:
        return self.notes

    def change(self, edit: Callable[[dict[str, Notes]], None]) -> None:
        edit(self.notes)


@dataclass
class Noted:
    """A registry in memory whose tags hold no records, and the notebook beside it."""

    registry: NotedRegistry
    beneath: MemoryRegistry
    paper: Paper

    def seed(self, model: ModelSnapshot) -> None:
        owner = {OWNER_TAG: encode_owner(model.owner)} if isinstance(model.owner, Ownership) else {}
        notes: dict[int, dict[str, str]] = {}
        for number, version in model.versions.items():
            if version.provenance:
                notes.setdefault(number, {})[PROVENANCE_TAG] = encode_provenance(version.provenance)
            if version.tagged:
                notes.setdefault(number, {})[TAGS_TAG] = encode_tagged(version.tagged)
        bare = {n: replace(v, provenance={}, tagged=frozenset()) for n, v in model.versions.items()}
        self.beneath.models[model.name] = replace(model, owner=None, versions=bare)
        self.paper.notes[model.name] = Notes(owner, notes)


@dataclass
class InMlflow:
    registry: MlflowRegistry
    uri: str = ""

    def seed(self, model: ModelSnapshot) -> None:
        from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag

        store: Any = self.registry.store
        name, tags = model.name, dict(model.tags)
        if isinstance(model.owner, Ownership):
            tags[OWNER_TAG] = encode_owner(model.owner)
        store.create_registered_model(name, [RegisteredModelTag(k, v) for k, v in tags.items()], model.description)
        for number in range(1, max(model.versions, default=0) + 1):
            wanted = model.versions.get(Version(number))
            run = wanted.run_id if wanted else ""
            made = store.create_model_version(name, "s3://bucket/model", run_id=run)
            assert int(made.version) == number
            if wanted is None:
                store.delete_model_version(name, str(number))
                continue
            if wanted.description:
                store.update_model_version(name, str(number), wanted.description)
            ours = {TAGS_TAG: encode_tagged(wanted.tagged)} if wanted.tagged else {}
            for key, value in {**wanted.tags, **ours}.items():
                store.set_model_version_tag(name, str(number), ModelVersionTag(key, value))
            if wanted.provenance:
                tag = ModelVersionTag(PROVENANCE_TAG, encode_provenance(wanted.provenance))
                store.set_model_version_tag(name, str(number), tag)
            if wanted.stage is not Stage.NONE:
                store.transition_model_version_stage(name, str(number), str(wanted.stage), False)
        for alias, number in model.aliases.items():
            store.set_registered_model_alias(name, alias, str(number))


@pytest.fixture(scope="session")
def sqlite_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{new_database(tmp_path_factory.mktemp('sqlite') / 'registry.db')}"


REGISTRIES = {"sqlite": "sqlite_uri", "postgres": "postgres_uri", "server": "mlflow_server"}
OF_MLFLOW = ["sqlite", "postgres", pytest.param("server", marks=pytest.mark.server)]


@pytest.fixture(params=["memory", "noted", *OF_MLFLOW])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "memory":
        return InMemory(MemoryRegistry())
    if request.param == "noted":
        beneath, paper = MemoryRegistry(), Paper()
        return Noted(NotedRegistry(beneath, paper), beneath, paper)
    return at(request)


def at(request: pytest.FixtureRequest) -> InMlflow:
    uri: str = request.getfixturevalue(REGISTRIES[request.param])
    return InMlflow(MlflowRegistry(uri, uri), uri)


@pytest.fixture
def name() -> ModelRef:
    """A name of its own for each test, so that all can share a registry."""
    return ModelRef(f"model-{next(NUMBER)}-{id(object()):x}")


def read(place: Place, *names: ModelRef) -> dict[ModelRef, ModelSnapshot]:
    return dict(place.registry.snapshot(Wanted({name: frozenset() for name in names})).models)


def essence(model: ModelSnapshot | None) -> ModelSnapshot | None:
    """The model without what a registry makes up itself."""
    if model is None:
        return None
    return replace(model, versions={n: replace(v, created_at=0) for n, v in sorted(model.versions.items())})


RICH = replace(
    have(
        {1: A, 2: P, 3: P, 4: S, 6: N},
        {"champion": 3, "Champion": 2},
        owner=owns(P, "champion"),
        placed={3: ["Production"]},
    ),
    description="Scores loans; it's “good”.",
    tags={"domain": "credit", "team.name": "risk, ml"},
)


def test_a_snapshot_reads_back_what_was_made(place: Place, name: ModelRef) -> None:
    model = replace(RICH, name=name)
    place.seed(model)

    assert essence(read(place, name)[name]) == essence(model)


def test_a_model_that_is_not_there_is_not_in_the_snapshot(place: Place, name: ModelRef) -> None:
    assert read(place, name) == {}


def test_every_model_is_listed_by_its_name(place: Place, name: ModelRef) -> None:
    place.seed(have({}, name=name))
    quoted = ModelRef(f"{name} Ünïcode 'quoted'")
    place.seed(replace(have({1: P}), name=quoted))

    names = place.registry.names()

    assert {name, quoted} <= set(names)
    assert list(names) == sorted(names)


def test_models_that_carry_our_record_are_found_without_being_named(place: Place, name: ModelRef) -> None:
    ours = RepositoryId(f"github.com/acme/{name}#manifests")
    place.seed(replace(have({1: N}, owner=owns(P, by=ours)), name=name))
    place.seed(replace(have({1: N}, owner=owns(P)), name=ModelRef(f"{name}-other")))

    found = place.registry.snapshot(Wanted({}, Ours(ours))).models

    assert list(found) == [name]
    assert found[name].owner == owns(P, by=ours)


def test_a_model_that_is_found_by_its_record_alone_shows_no_versions(place: Place, name: ModelRef) -> None:
    ours = RepositoryId(f"github.com/acme/{name}#manifests")
    place.seed(replace(have({1: A, 2: P, 3: P, 4: N}, {"champion": 3}, owner=owns(P, by=ours)), name=name))

    found = place.registry.snapshot(Wanted({}, Ours(ours))).models[name]
    named = read(place, name)[name]

    # Where records are kept beside the registry, each model is read by its name.
    assert found == (named if isinstance(place, Noted) else replace(named, versions={}, hidden={3: P}))
    assert (named.versions.keys(), named.hidden) == ({1, 2, 3, 4}, {})


def test_records_are_found_by_former_names_and_in_whatever_case_the_forge_takes(place: Place, name: ModelRef) -> None:
    former, other_case = RepositoryId(f"acme/{name}#m"), RepositoryId(f"github.com/Acme/{name}#m")
    commit = Commit("1" * 40)
    for number, owner in enumerate((former, other_case)):
        record = replace(owns(P, by=owner), commit=commit)
        place.seed(replace(have({1: N}, owner=record), name=ModelRef(f"{name}-{number}")))

    ours = Ours(RepositoryId(f"github.com/acme/{name}#m".lower()), (RepositoryId(f"acme/{name}"),), {commit})
    found = place.registry.snapshot(Wanted({}, ours)).models

    assert list(found) == [f"{name}-0", f"{name}-1"]


@pytest.mark.parametrize("repository", ["it's#manifests", 'say "hello"#m', "100%_#m", "back\\slash#m", "ünïcode#m"])
def test_records_are_found_whatever_the_repository_is_called(place: Place, name: ModelRef, repository: str) -> None:
    place.seed(replace(have({1: N}, owner=owns(P, by=RepositoryId(repository))), name=name))

    found = place.registry.snapshot(Wanted({}, Ours(RepositoryId(repository)))).models

    assert name in found


def test_a_renamed_model_keeps_all_but_the_time_of_its_versions(mlflow_place: InMlflow, name: ModelRef) -> None:
    mlflow_place.seed(replace(RICH, name=name))
    before, after = read(mlflow_place, name)[name], ModelRef(f"{name}-renamed")

    store: Any = mlflow_place.registry.store
    store.rename_registered_model(name, after)
    found = read(mlflow_place, name, after)

    assert list(found) == [after]
    assert found[after] == replace(before, name=after)
    assert all(v.updated_at > before.versions[n].updated_at for n, v in found[after].versions.items())


HOSTILE = [
    "it's", 'say "hi"', "back\\slash", "per%cent", "under_score", "back`tick", " blanks around ", "comma, (paren)",
    "@prod", "ünï-cödé 模型", "semi;colon -- comment", "a.b[c]{d}", "=or 1=1", "quote'\"both", "#hash?query&x=y",
]  # fmt: skip


def test_names_are_quoted_properly(place: Place, name: ModelRef) -> None:
    names = [ModelRef(f"{name}{tail}") for tail in HOSTILE]
    for n in names:
        place.seed(replace(have({1: P, 2: S}, {"champion": 1}), name=n))

    found = read(place, *names)

    assert sorted(found) == sorted(names)
    for n in names:
        assert essence(found[n]) == essence(replace(have({1: P, 2: S}, {"champion": 1}), name=n))


def test_names_that_differ_by_case_only_are_two_models(place: Place, name: ModelRef) -> None:
    place.seed(replace(have({1: P}), name=ModelRef(name.upper())))
    place.seed(replace(have({1: S}), name=name))

    found = read(place, name)

    assert list(found) == [name]
    assert found[name].occupants(S) == (1,)


LIVE = with_version(
    have({1: P, 2: P, 3: S, 4: N}, {"champion": 1}, owner=owns(P)), 1, tags={"risk": "low"}, tagged=frozenset({"risk"})
)
NAME = LIVE.name
CHANGES: dict[str, Change] = {
    "claim": Claim(NAME, LIVE.owner, Ownership(OURS, (S, P), (AliasName("champion"),), SECOND)),
    "release": Release(NAME, owns(P)),
    "describe the model": DescribeModel(NAME, "", "Scores loans; it's “good”.\nVery."),
    "describe the model with nothing": DescribeModel(NAME, "", ""),
    "tag": TagModel(NAME, "team.name", None, "risk, ml"),
    "describe a version": DescribeVersion(NAME, Version(4), "", "F1 +4.2 %"),
    "register a version": RegisterVersion(NAME, Version(5), "s3://bucket/other", "run-5"),
    "register a version that was brought from another registry": RegisterVersion(
        NAME,
        Version(5),
        "models:/dev/risk/7",
        "run-7",
        original=Original(ModelRef("dev/risk"), Version(7)),
        since=1,
        brought=Brought(
            "s3://bucket/other",
            "run-5",
            "",
            Attribution("run-7", 1, "https://dev.example", "team", ModelRef("it's “risk”"), Version(7)),
        ),
    ),
    "tag a version": TagVersion(NAME, Version(4), "validation_status", None, "approved; it's “good”"),
    "tag a version with nothing": TagVersion(NAME, Version(4), "checked", None, ""),
    "untag a version": UntagVersion(NAME, Version(1), "risk", "low"),
    "untag a version without that tag": UntagVersion(NAME, Version(4), "risk", "low"),
    "record the tags of a version": RecordTags(NAME, Version(4), (), ("a", "b")),
    "forget the tags of a version": RecordTags(NAME, Version(1), ("risk",), ()),
    "record provenance": RecordProvenance(
        NAME, Version(4), {}, (Placement(P.slot, OURS, FIRST, "Staging", "Ada <a@b.c>", "2026-01-01T00:00:00Z"),)
    ),
    "transition": TransitionStage(NAME, Version(4), N, S),
    "transition to Archived": TransitionStage(NAME, Version(3), S, A),
    "transition to None": TransitionStage(NAME, Version(3), S, N),
    "the swap archives every other occupant": TransitionStage(NAME, Version(4), N, P, True, (Version(1), Version(2))),
    "the swap of an occupant archives the others": TransitionStage(NAME, Version(2), P, P, True, (Version(1),)),
    "the swap in Staging": TransitionStage(NAME, Version(4), N, S, True, (Version(3),)),
    "entering without the swap": TransitionStage(NAME, Version(4), N, P),
    "set an alias": SetAlias(NAME, AliasName("shadow"), None, Version(4)),
    "move an alias": SetAlias(NAME, AliasName("champion"), Version(1), Version(2)),
    "an alias of another case": SetAlias(NAME, AliasName("Champion"), None, Version(2)),
    "delete an alias": DeleteAlias(NAME, AliasName("champion"), Version(1)),
    "delete an alias that is not there": DeleteAlias(NAME, AliasName("nobody"), Version(1)),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_call_does_what_we_say_it_does_and_repeating_it_does_no_harm(
    place: Place, name: ModelRef, change: Change
) -> None:
    live = replace(LIVE, name=name)
    change = replace(change, model=name)
    place.seed(live)
    said = simulate(live, change)

    for times in ("once", "twice"):
        place.registry.execute(change)

        there = read(place, name)[name]
        assert essence(there) == essence(said), times
        assert [v.attribution for v in there.versions.values()] == [v.attribution for v in said.versions.values()]


def test_what_we_accept_every_store_accepts(place: Place, name: ModelRef) -> None:
    """At their longest, in letters of four bytes where there may be such, and as long as a URL makes of them."""
    longest = ModelRef(name + "\U00020000" * (MAX_MODEL_NAME - len(name)))
    live = replace(have({1: P}), name=longest)
    place.seed(live)
    changes: list[Change] = [
        DescribeModel(longest, "", "ä" * MAX_DESCRIPTION),
        DescribeVersion(longest, Version(1), "", "ä" * MAX_DESCRIPTION),
        TagModel(longest, "k" * MAX_TAG_KEY, None, "ä" * MAX_TAG_VALUE),
        SetAlias(longest, AliasName("a" * MAX_ALIAS), None, Version(1)),
    ]

    for change in changes:
        place.registry.execute(change)

    assert essence(read(place, longest)[longest]) == essence(simulate_all(live, changes))


def test_making_a_model_twice_makes_one(place: Place, name: ModelRef) -> None:
    for times in ("once", "twice"):
        place.registry.execute(CreateModel(name))

        assert essence(read(place, name)[name]) == ModelSnapshot(name), times


@pytest.mark.parametrize(
    "change",
    [
        TransitionStage(NAME, Version(9), N, P),
        SetAlias(NAME, AliasName("champion"), None, Version(9)),
        DescribeVersion(NAME, Version(9), "", "x"),
        TransitionStage(NAME, Version(5), N, P),
    ],
    ids=["transition", "alias", "describe", "a deleted version"],
)
def test_a_version_that_is_not_there_is_refused_and_nothing_moves(place: Place, name: ModelRef, change: Change) -> None:
    live = replace(have({1: P, 6: N}), name=name)
    place.seed(live)

    with pytest.raises(RegistryError) as refused:
        place.registry.execute(replace(change, model=name))

    assert refused.value.code == "RESOURCE_DOES_NOT_EXIST"
    assert essence(read(place, name)[name]) == essence(live)


def test_versions_come_back_as_numbers(place: Place, name: ModelRef) -> None:
    place.seed(replace(have({1: P, 2: N, 10: S}, {"champion": 10}), name=name))

    model = read(place, name)[name]

    assert sorted(model.versions) == [1, 2, 10]
    assert model.aliases == {"champion": 10}
    assert all(type(v.version) is int and type(v.created_at) is int for v in model.versions.values())


def test_the_time_of_the_last_change_moves_with_a_stage_and_not_with_our_record(
    sqlite_uri: str, name: ModelRef
) -> None:
    place = InMlflow(MlflowRegistry(sqlite_uri, sqlite_uri))
    place.seed(replace(have({1: N}), name=name))
    one = Version(1)

    def touched() -> int:
        return read(place, name)[name].versions[one].updated_at

    place.registry.execute(TransitionStage(name, one, N, S))
    entered = touched()
    place.registry.execute(RecordProvenance(name, one, {}, (Placement(S.slot, OURS, FIRST, N),)))
    recorded = touched()
    place.registry.execute(TransitionStage(name, one, S, N))
    place.registry.execute(TransitionStage(name, one, N, S))
    back = touched()

    assert entered == recorded
    assert back > entered > 0


def test_a_renamed_model_keeps_all_that_is_in_it_and_is_renamed_once(place: Place, name: ModelRef) -> None:
    before, after = ModelRef(f"{name}-before"), name
    place.seed(replace(RICH, name=before))
    there = read(place, before)[before]

    for _ in range(2):
        place.registry.execute(RenameModel(after, before))

    assert read(place, before, after) == {after: replace(there, name=after)}


def test_a_rename_that_cannot_be_is_refused_and_nothing_changes(place: Place, name: ModelRef) -> None:
    other, gone = ModelRef(f"{name}-other"), ModelRef(f"{name}-gone")
    place.seed(replace(have({1: P}), name=name))
    place.seed(replace(have({1: S}), name=other))
    there = read(place, name, other)

    refusals: list[str] = []
    for change in (RenameModel(other, name), RenameModel(gone, ModelRef(f"{name}-never"))):
        with pytest.raises(RegistryError) as refused:
            place.registry.execute(change)
        refusals.append(refused.value.code)

    assert refusals == ["RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"]
    assert read(place, name, other, gone) == there


def test_a_name_may_change_its_letters_case_alone(place: Place, name: ModelRef) -> None:
    upper = ModelRef(name.upper())
    place.seed(replace(have({1: P}, {"champion": 1}), name=name))

    place.registry.execute(RenameModel(upper, name))

    found = read(place, name, upper)
    assert list(found) == [upper]
    assert (found[upper].occupants(P), dict(found[upper].aliases)) == ((1,), {"champion": 1})


@pytest.mark.parametrize("place", OF_MLFLOW, indirect=True)
def test_a_rename_moves_the_time_of_every_version(place: Place, name: ModelRef) -> None:
    before = ModelRef(f"{name}-before")
    place.seed(replace(have({1: P, 2: N}), name=before))
    then = read(place, before)[before].versions

    place.registry.execute(RenameModel(name, before))

    now = read(place, name)[name].versions
    assert all(now[number].updated_at > then[number].updated_at for number in then)
    assert all(now[number].created_at == then[number].created_at for number in then)


@given(states.CHANGES)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_plan_does_in_mlflow_what_its_simulation_says(sqlite_uri: str, case: tuple[ModelSnapshot, Manifest]) -> None:
    live, manifest = case
    place = InMlflow(MlflowRegistry(sqlite_uri, sqlite_uri))
    name = ModelRef(f"random-{next(NUMBER)}-{id(live):x}")
    before = name if live.called is None else ModelRef(f"{name}-before")
    live = replace(live, name=name, called=live.called and before)
    plan = diff(manifest, live, NOW, name=name, adopt=True)
    place.seed(replace(live, name=before, called=None))

    for change in plan.changes:
        place.registry.execute(change)

    assert essence(read(place, name)[name]) == essence(simulate_all(live, plan.changes))


# What only MLflow can show.


@pytest.fixture(params=OF_MLFLOW)
def mlflow_place(request: pytest.FixtureRequest) -> InMlflow:
    return at(request)


@pytest.fixture
def counted(mlflow_place: InMlflow, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The searches that were asked for."""
    calls: list[str] = []

    def wrap(method: str) -> Callable[..., Any]:
        real = getattr(mlflow_place.registry.store, method)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            calls.append(method)
            return real(*arguments, **options)

        return wrapped

    for method in ("search_registered_models", "search_model_versions", "get_registered_model", "get_model_version"):
        monkeypatch.setattr(mlflow_place.registry.store, method, wrap(method))
    return calls


@cache
def twenty_models(uri: str) -> tuple[ModelRef, ...]:
    """Made once in each registry."""
    prefix = f"twenty-{next(NUMBER)}"
    names = tuple(ModelRef(f"{prefix}-{i:02}") for i in range(20))
    for name in names:
        InMlflow(MlflowRegistry(uri, uri)).seed(replace(TWENTIETH, name=name))
    return names


TWENTIETH = have({1: P, 2: S, 3: N}, {"champion": 1})


@pytest.fixture
def twenty(mlflow_place: InMlflow) -> list[ModelRef]:
    return list(twenty_models(mlflow_place.uri))


@pytest.mark.parametrize("named", [3, 7, 20])
def test_many_models_are_read_in_bulk_and_completely_whichever_way(
    mlflow_place: InMlflow, twenty: list[ModelRef], counted: list[str], monkeypatch: pytest.MonkeyPatch, named: int
) -> None:
    monkeypatch.setattr(mlflow_registry, "MOST_NAMES", 2)
    monkeypatch.setattr(mlflow_registry, "MODELS_PAGE", 3)
    monkeypatch.setattr(mlflow_registry, "VERSIONS_PAGE", 7)

    found = read(mlflow_place, *twenty[:named])

    assert sorted(found) == twenty[:named]
    assert all(essence(m) == essence(replace(TWENTIETH, name=n)) for n, m in found.items())
    assert "get_registered_model" not in counted
    assert "get_model_version" not in counted


@pytest.mark.parametrize("named", [3, 20])
def test_a_registry_that_takes_no_lists_of_names_is_read_in_another_way(
    mlflow_place: InMlflow, twenty: list[ModelRef], counted: list[str], monkeypatch: pytest.MonkeyPatch, named: int
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    real = mlflow_place.registry.store.search_model_versions

    def refuse_lists(clause: str | None, *rest: Any) -> Any:
        if clause is not None and " IN (" in clause:
            raise MlflowException("Only the 'run_id' attribute supports a list.", INVALID_PARAMETER_VALUE)
        return real(clause, *rest)

    monkeypatch.setattr(mlflow_place.registry.store, "search_model_versions", refuse_lists)

    found = read(mlflow_place, *twenty[:named])

    assert sorted(found) == twenty[:named]
    assert all(sorted(model.versions) == [1, 2, 3] for model in found.values())
    assert not mlflow_place.registry.takes_lists


def test_a_version_that_is_declared_and_not_there_is_asked_for_once(
    mlflow_place: InMlflow, name: ModelRef, counted: list[str]
) -> None:
    mlflow_place.seed(replace(have({1: P}), name=name))

    found = mlflow_place.registry.snapshot(Wanted({name: frozenset({Version(1), Version(7)})})).models[name]

    assert sorted(found.versions) == [1]
    assert counted.count("get_model_version") == 1


@pytest.fixture
def prompts() -> None:
    """Before 2.21, MLflow had no prompts, and hid nothing."""
    from mlflow.entities.model_registry import ModelVersion

    if not hasattr(ModelVersion, "_is_prompt"):
        pytest.skip("this MLflow has no prompts")


@pytest.mark.usefixtures("prompts")
def test_a_version_tagged_as_a_prompt_is_hidden_not_gone(mlflow_place: InMlflow, name: ModelRef) -> None:
    from mlflow.entities.model_registry import ModelVersionTag

    mlflow_place.seed(replace(have({1: P, 2: N, 3: N}), name=name))
    store: Any = mlflow_place.registry.store
    for number in ("1", "3"):
        store.set_model_version_tag(name, number, ModelVersionTag("mlflow.prompt.is_prompt", "true"))

    found = mlflow_place.registry.snapshot(Wanted({name: frozenset({Version(3)})})).models[name]

    assert found.versions == {}
    assert found.hidden == {1: Stage.PRODUCTION, 3: Stage.NONE}


@pytest.mark.usefixtures("prompts")
def test_a_model_tagged_as_a_prompt_is_hidden_not_gone(mlflow_place: InMlflow, name: ModelRef) -> None:
    from mlflow.entities.model_registry import RegisteredModelTag

    mlflow_place.seed(replace(have({1: P}), name=name))
    store: Any = mlflow_place.registry.store
    store.set_registered_model_tag(name, RegisteredModelTag("mlflow.prompt.is_prompt", "true"))

    assert read(mlflow_place, name)[name].hidden_model


@pytest.mark.server
def test_a_store_that_a_package_brings_for_a_service_is_spoken_to_like_a_server(
    mlflow_server: str, name: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As sagemaker-mlflow does for `arn:` and azureml-mlflow for `azureml:`: MLflow's store, with other credentials.
    from mlflow.store.model_registry.rest_store import RestStore
    from mlflow.tracking._model_registry import utils
    from mlflow.utils.rest_utils import MlflowHostCreds

    class ServiceStore(RestStore):
        def __init__(self, store_uri: str, tracking_uri: str | None = None) -> None:
            assert store_uri == ARN
            super().__init__(lambda: MlflowHostCreds(mlflow_server))  # pyright: ignore[reportUnknownMemberType]  # MLflow's

    known: Any = utils._get_store_registry()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setitem(known._registry, "arn", ServiceStore)
    place = InMlflow(MlflowRegistry(ARN, ARN), ARN)
    place.seed(have({1: P, 2: N}, {"champion": 1}, name=name))

    place.registry.execute(TransitionStage(name, Version(2), N, P, exclusive=True))
    place.registry.execute(SetAlias(name, AliasName("champion"), Version(1), Version(2)))

    (live,) = read(place, name).values()
    assert {number: version.stage for number, version in live.versions.items()} == {1: A, 2: P}
    assert live.aliases == {"champion": 2}


ARN = "arn:aws:sagemaker:eu-west-1:123456789012:mlflow-tracking-server/models"
