"""Reviews as people meet them: plans with evidence, good, bad, missing and hostile."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from reconciler.core.desired import Manifest, Pin, Revision
from reconciler.core.diff import ModelPlan
from reconciler.core.evidence import (
    Dataset,
    Evidence,
    Exhibit,
    Metric,
    Missing,
    Pairing,
    RunFacts,
    VersionFacts,
)
from reconciler.core.gate import Entrance, Ruling, Verdict
from reconciler.core.loosening import Exposure, consequences
from reconciler.core.names import Commit, ModelRef, RepositoryId, Slot, Version
from reconciler.core.plan import Limits, Plan, PlanOptions, build_plan, effects_of
from reconciler.core.review import Note, PolicyNote, Review, pending_on
from reconciler.core.signature import Array, Column, Parameter, Scalar, Signature, Tensor
from reconciler.core.snapshot import ModelSnapshot
from reconciler.errors import Location
from tests.build import OURS, SOMEWHERE, A, N, P, S, desired, have, owns, registry, want

T = TypeVar("T")

URI = "https://mlflow.acme.example"
NOW = "2026-05-11T09:30:00Z"
REVISION = Revision(OURS, Commit("1b9c02f4a7de" + "0" * 28), "Ada <ada@acme.example>", "Promote risk-classifier v5")
HOLDOUT = Dataset("holdout-2026-04", "9f2c7a1b")
HOLDOUT_BEFORE = Dataset("holdout-2026-03", "41d80e77")
NASTY = (
    "nasty | <script>alert(1)</script><img src=x onerror=alert(2)>\"'`]]>\x1b[31m\u202e@all ${{7*7}} {{7*7}}\n# heading"
)
NASTY_NAME = 'nasty <img src=x onerror=alert(3)> & "sons" | [x](javascript:alert(4)) \u202eevil'


def signature(**inputs: str) -> Signature:
    """Columns by name, and one column of long as the output: `signature(income="double", region="string?")`."""
    return Signature(
        inputs=tuple(
            Column(name, Scalar(kind.removesuffix("?")), not kind.endswith("?")) for name, kind in inputs.items()
        ),
        outputs=(Column("", Scalar("long")),),
        params=(),
    )


def run(number: int, *, model: str, day: int, minutes: int, **more: Any) -> RunFacts:
    """The run of version `number`, in May 2026."""
    run_id = f"{number:02x}e7f1a9c4b24d5c8f1e{number:02d}a7b6c5d4e3"[:32]
    facts = RunFacts(
        run_id=run_id,
        name=f"{model}-{number:02d}",
        experiment=f"/credit/{model}",
        status="FINISHED",
        user="ci@acme.example",
        source="https://github.com/acme/credit/blob/main/train.py",
        git_commit=f"{number}f3a9d1c7b2e4f60{number}" + "a1" * 11,
        started_at=f"2026-05-{day:02d}T08:00:12Z",
        ended_at=f"2026-05-{day:02d}T08:{minutes:02d}:47Z",
        url=f"{URI}/#/experiments/7/runs/{run_id}",
    )
    return replace(facts, **more)


def version(
    number: int,
    metrics: Mapping[str, float],
    *,
    model: str = "risk-classifier",
    dataset: Dataset | None = HOLDOUT,
    day: int = 1,
    minutes: int = 34,
    **more: Any,
) -> VersionFacts:
    """What is known of a version, by default registered right after its run; `more` replaces any field."""
    facts = VersionFacts(
        model=ModelRef(model),
        version=Version(number),
        description=f"Monthly retraining, number {number}.",
        created_at=f"2026-05-{day:02d}T09:00:00Z",
        url=f"{URI}/#/models/{model}/versions/{number}",
        run=run(number, model=model, day=day, minutes=minutes),
        metrics=tuple(Metric(name, value, dataset) for name, value in sorted(metrics.items())),
        params={"max_depth": "8", "learning_rate": "0.05", "n_estimators": "400", "objective": "binary:logistic"},
        signature=signature(age="integer", income="double", region="string", tenure="integer"),
        flavors={"sklearn": "1.4.2"},
        python="3.11.8",
        requirements=("mlflow==2.14.1", "scikit-learn==1.4.2", "xgboost==2.0.3", "pandas==2.2.1"),
        size=12_400_000,
    )
    return replace(facts, **more)


def plan_of(
    *pairs: tuple[Manifest | None, ModelSnapshot | None],
    in_step: int = 0,
    options: PlanOptions = PlanOptions(),
) -> Plan:
    """The plan for what is declared and what is there, each model in a file of its own; `in_step` more need nothing."""
    calm: list[tuple[Manifest | None, ModelSnapshot | None]] = [
        (want({P: [1]}, name=name), have({1: P}, owner=owns(P), name=name))
        for name in (f"in-step-{n}" for n in range(in_step))
    ]
    manifests = [_moved(m, f"manifests/{m.name}.yaml") for m, _ in (*pairs, *calm) if m is not None]
    live = [snapshot for _, snapshot in (*pairs, *calm) if snapshot is not None]
    return build_plan(desired(*manifests, revision=REVISION), registry(*live), options)


def _moved(value: T, path: str) -> T:
    """The value with every place in it in another file."""
    moved: object = value
    if isinstance(value, Location):
        moved = replace(value, path=path) if value.path == SOMEWHERE.path else value
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _moved(cast("object", getattr(value, f.name)), path) for f in fields(value)}
        moved = replace(value, **parts)
    elif isinstance(value, tuple):
        moved = tuple(_moved(part, path) for part in cast("tuple[object, ...]", value))
    elif isinstance(value, Mapping):
        moved = {key: _moved(part, path) for key, part in cast("Mapping[object, object]", value).items()}
    return cast("T", moved)


def exhibit(
    candidate: VersionFacts, incumbent: VersionFacts | None, *slots: str, history: Sequence[VersionFacts] = ()
) -> Exhibit:
    """A version that enters slots, beside the one that is there."""
    entered = tuple(map(Slot, slots or ("Production",)))
    pairing = Pairing(candidate.model, candidate.version, incumbent and incumbent.version, entered)
    return Exhibit(pairing, candidate, incumbent, tuple(history))


CURVE = {
    # version: auc, f1, log_loss, latency
    1: (0.8712, 0.741, 0.412, 18.2),
    2: (0.8803, 0.752, 0.398, 18.9),
    3: (0.8791, 0.749, 0.401, 17.5),
    4: (0.8934, 0.771, 0.372, 18.1),
    5: (0.9127, 0.803, 0.341, 21.6),
}
HISTORY = tuple(
    version(
        number,
        {"roc_auc": auc, "f1_score": f1, "log_loss": loss, "latency_ms": latency, "n_features": 40.0 + number // 5},
        day=2 * number,
        minutes=20 + 3 * number,
    )
    for number, (auc, f1, loss, latency) in CURVE.items()
)


def promotion_plan(*others: tuple[Manifest | None, ModelSnapshot | None]) -> Plan:
    """`risk-classifier`: v5 from Staging to Production, beside v4, with its alias; v6 enters Staging."""
    name = "risk-classifier"
    return plan_of(
        (
            want(
                {P: [Pin(SOMEWHERE, Version(5), comment="F1 improved 4.2% vs v4.")], S: [6]},
                {"champion": 5},
                name=name,
            ),
            have(
                {1: A, 2: A, 3: A, 4: P, 5: S, 6: N},
                {"champion": 4},
                owner=owns(S, P, "champion"),
                name=name,
            ),
        ),
        *others,
        in_step=21,
    )


def better() -> Review:
    """A promotion whose metrics are better, but for the latency; one model moved without this change."""
    plan = promotion_plan(
        (
            want({P: [7]}, {"challenger": None}, name="demand-forecast"),
            have({7: S, 6: P}, {"challenger": 7}, owner=owns(P, "challenger"), name="demand-forecast"),
        ),
        (want({S: [3]}, name="churn-uplift"), have({2: S, 3: N}, owner=owns(S), name="churn-uplift")),
    )
    drift = next(model for model in plan.models if model.model == "churn-uplift")
    gone = plan_of((want({P: [2]}, name="ltv"), have({1: P, 2: S}, owner=owns(P), name="ltv"))).models[0]
    old, new = HISTORY[3], HISTORY[4]
    new = replace(
        new,
        description="Retrained on April data with the new bureau features.",
        tags={"validation": "passed", "approved-by": "risk-committee"},
        params={**new.params, "max_depth": "10", "monotone_constraints": "(1,0,-1)"},
        signature=signature(age="long", income="double", region="string", tenure="integer", bureau_score="double?"),
        flavors={"sklearn": "1.5.0"},
        requirements=("mlflow==2.14.1", "scikit-learn==1.5.0", "xgboost==2.0.3", "pandas==2.2.1"),
        size=13_900_000,
        staged_at="2026-05-10T14:00:00Z",
    )
    old = replace(
        old, tags={"validation": "passed"}, staged_at="2026-05-08T12:00:00Z", staged_until="2026-05-09T07:00:00Z"
    )
    forecast = {
        "mape": (0.112, 0.108),
        "rmse": (41.8, 41.8),
        "coverage_90": (0.894, 0.901),
    }
    return Review(
        plan,
        URI,
        evidence=Evidence(
            NOW,
            (
                exhibit(
                    version(7, {k: v for k, (v, _) in forecast.items()}, model="demand-forecast", day=9),
                    version(6, {k: v for k, (_, v) in forecast.items()}, model="demand-forecast", day=4),
                ),
                exhibit(new, old, "Production", "@champion", history=(*HISTORY[:3], old, new)),
            ),
        ),
        base=pending_on("origin/main", Commit("7d41e09c33ab" + "0" * 28), (*effects_of(drift), *effects_of(gone))),
        notes=(Note("The base is 2 commits ahead of the point where this change left it."),),
    )


def one_promotion() -> Review:
    """Of `better`, the model that the change is about: what the pictures of the documentation show."""
    review = better()
    models = tuple(model for model in review.plan.models if model.model == "risk-classifier")
    return replace(
        review,
        plan=replace(review.plan, models=models, governed=review.plan.governed - 2),
        base=review.base and replace(review.base, pending=()),
        notes=(),
    )


def breaking_signature() -> Review:
    """A promotion that today's callers would notice: an input more, another type, another output."""
    old, new = HISTORY[3], HISTORY[4]
    new = replace(
        new,
        signature=Signature(
            inputs=(
                Column("age", Scalar("long")),
                Column("income", Scalar("string")),
                Column("region", Scalar("string")),
                Column("bureau_score", Scalar("double")),
                Column("history", Array(Scalar("double")), required=False),
            ),
            outputs=(Column("", Scalar("double")),),
            params=(Parameter("threshold", "double", "0.5"),),
        ),
    )
    return Review(promotion_plan(), URI, Evidence(NOW, (exhibit(new, old, history=HISTORY),)))


def missing_evidence() -> Review:
    """A run that was deleted, artifacts that cannot be read: half of the evidence is missing."""
    name = ModelRef("risk-classifier")
    gone = VersionFacts(
        name,
        Version(5),
        created_at="2026-05-10T09:00:00Z",
        missing=(
            Missing("run", "the version has no run"),
            Missing("model", "its files could not be read: Permission denied"),
            Missing("signature", "its MLmodel file could not be read"),
            Missing("requirements", "there is no requirements.txt"),
            Missing("size", "the artifact store does not list sizes"),
        ),
    )
    old = replace(
        HISTORY[3],
        run=run(4, model=name, day=8, minutes=32, deleted=True, url=""),
        requirements=None,
        missing=(Missing("requirements", "there is no requirements.txt"),),
    )
    return Review(promotion_plan(), URI, Evidence(NOW, (exhibit(gone, old, "Production", "@champion"),)))


def no_evidence_at_all() -> Review:
    """The tracking server did not answer."""
    return Review(promotion_plan(), URI, Evidence(NOW, trouble=f"{URI} did not answer within 30 s."))


def different_datasets() -> Review:
    """Metrics of the candidate that were measured on other data than those of the incumbent, and odd values."""
    old = version(4, {"roc_auc": 0.8934, "f1_score": 0.771, "gini": 0.0, "support": 1200.0}, dataset=HOLDOUT_BEFORE)
    new = version(5, {"roc_auc": 0.9127, "f1_score": 0.803})
    new = replace(
        new,
        metrics=(
            *new.metrics,
            Metric("gini", 0.8, HOLDOUT_BEFORE),
            Metric("log_loss", float("nan"), HOLDOUT),
            Metric("support", 1200.0),
        ),
        signature=Signature(inputs=(Column("", Tensor("float32", (-1, 28, 28))),)),
    )
    return Review(promotion_plan(), URI, Evidence(NOW, (exhibit(new, old),)))


def no_incumbent() -> Review:
    """The first version of a model that enters Production."""
    plan = plan_of(
        (want({P: [1]}, {"champion": 1}, name="new-model", description="New."), have({1: N}, name="new-model")),
        in_step=3,
    )
    first = version(1, {"roc_auc": 0.8712, "log_loss": 0.412}, model="new-model")
    return Review(plan, URI, Evidence(NOW, (exhibit(first, None, "Production", "@champion", history=(first,)),)))


def blocked() -> Review:
    """One model that names what is not there, beside one that is fine, without evidence."""
    plan = plan_of(
        (want({P: [9]}, name="blocked"), have({1: P, 2: N}, owner=owns(P), name="blocked")),
        (want({P: [2]}, name="ready"), have({1: P, 2: S}, owner=owns(P), name="ready")),
    )
    return Review(plan, URI)


def in_sync() -> Review:
    """Nothing to do."""
    return Review(plan_of(in_step=4), URI, Evidence(NOW))


def hostile() -> Review:
    """Names, tags, parameters, runs, addresses and notes that try to break out of wherever they are shown."""
    name = NASTY_NAME
    plan = plan_of(
        (
            want({P: [2]}, name=name, description=NASTY, tags={"k": NASTY}),
            have({1: P, 2: S}, owner=owns(P), name=name),
        ),
        (
            want({P: [9]}, name=f"{name} 2"),
            have({1: P}, owner=owns(P), name=f"{name} 2"),
        ),
    )

    def facts(number: int, url: str) -> VersionFacts:
        return VersionFacts(
            ModelRef(name),
            Version(number),
            description=NASTY,
            tags={f"{NASTY}{number}": NASTY, "t": f"{NASTY}{number}"},
            created_at=NASTY,
            url=url,
            run=RunFacts(
                run_id=NASTY,
                name=NASTY,
                experiment=NASTY,
                status=NASTY,
                user=NASTY,
                source=url,
                git_commit=NASTY,
                started_at=NASTY,
                ended_at=NASTY,
                url=url,
            ),
            metrics=(Metric(f"auc {NASTY}", 0.9 + number / 100, Dataset(NASTY, NASTY)),),
            params={f"{NASTY}{number}": NASTY, "p": f"{NASTY}{number}"},
            signature=Signature(
                inputs=(Column(f"{NASTY}{number}", Scalar(NASTY)),), params=(Parameter("p", NASTY, str(number)),)
            ),
            flavors={NASTY: f"{NASTY}{number}"},
            python=NASTY,
            requirements=(f"{NASTY}{number}", f"https://x/{NASTY}"),
            size=number,
            staged_at=NASTY,
            missing=(Missing(NASTY, NASTY),),
        )

    old, new = facts(1, "javascript:alert(5)"), facts(2, 'https://x.example/"><script>alert(6)</script>')
    found = plan.models[0]
    base = pending_on(NASTY, None, effects_of(ModelPlan(found.model, found.proposals[:1])))
    return Review(
        replace(plan, revision=Revision(RepositoryId(NASTY), Commit("f" * 40), NASTY, NASTY)),
        f"{URI}/{NASTY}",
        Evidence(NOW, (exhibit(new, old, f"@{NASTY}", history=(old, new)),), trouble=NASTY),
        base,
        notes=(Note(NASTY),),
    )


def fleet(count: int = 300) -> Review:
    """A plan for many models at once, more than is safe: for sizes and limits."""
    names = [f"model-{n:03}" for n in range(count)]
    plan = plan_of(
        *((want({P: [2]}, name=name), have({1: P, 2: N}, owner=owns(P), name=name)) for name in names),
        options=PlanOptions(limits=Limits(0.3, 10)),
    )
    exhibits = tuple(
        exhibit(
            version(2, {"roc_auc": 0.9 + n % 7 / 100, "log_loss": 0.3}, model=name),
            version(1, {"roc_auc": 0.92, "log_loss": 0.31}, model=name),
        )
        for n, name in enumerate(names)
    )
    return Review(plan, URI, Evidence(NOW, exhibits))


POLICY = Location("reconciler.yaml", 12, 9)


def verdict(gate: str, ruling: Ruling, sentence: str, *, slot: str = "Production", note: str = "") -> Verdict:
    """A verdict on v5 of risk-classifier."""
    entrance = Entrance(ModelRef("risk-classifier"), Version(5), Slot(slot), Version(4))
    return Verdict(entrance, gate, ruling, sentence, POLICY, note)


def gated() -> Review:
    """The promotion of `one_promotion`, refused by two gates, and a change that would edit the policy as well."""
    review = one_promotion()
    verdicts = (
        verdict("path", Ruling.PASS, "v5 is in Staging"),
        verdict("signature", Ruling.PASS, "the signature is compatible with that of v4"),
        verdict("signature", Ruling.PASS, "the signature is compatible with that of v4", slot="@champion"),
        verdict("soak", Ruling.FAIL, "v5 has been in Staging for 19 h 30 min; 3 days required"),
        verdict("soak", Ruling.FAIL, "v5 has been in Staging for 19 h 30 min; 3 days required", slot="@champion"),
        verdict("bias", Ruling.UNKNOWN, "not known: checks (the artifact store did not answer)"),
        verdict(
            "latency",
            Ruling.OVERRIDDEN,
            "latency_ms is 21.6, above 20",
            note="overridden until 2026-06-01 by grace@acme.example (manifests/risk-classifier.yaml:14): new hardware",
        ),
        verdict("approvals", Ruling.WAIVED, "nobody approved", slot="@champion", note="v5 has held @champion before"),
    )
    (model,) = review.plan.models
    difference = ("--- standing reconciler.yaml", "+++ proposed", "@@ -3 +3 @@", "-  for: 3d", "+  for: 1h ```")
    proposed = (verdict("bias", Ruling.UNKNOWN, "not known: checks (the artifact store did not answer)"),)
    return replace(
        review,
        plan=replace(review.plan, models=(replace(model, verdicts=verdicts),)),
        policy=policy_note(difference, verdicts, proposed),
    )


def policy_note(
    difference: tuple[str, ...],
    standing: tuple[Verdict, ...],
    proposed: tuple[Verdict, ...],
    *exposed: Exposure,
) -> PolicyNote:
    """What is said of a policy whose rules the change edits."""
    commit = Commit("7d41e09c33ab" + "0" * 28)
    changed = consequences(standing, proposed)
    return PolicyNote("reconciler.yaml", commit, difference, proposed, ("rules",), changed, exposed)


def unguarded() -> Review:
    """A change that deletes every rule, beside a promotion that the rules refuse."""
    review = one_promotion()
    verdicts = (verdict("soak", Ruling.FAIL, "v5 has been in Staging for 19 h 30 min; 3 days required"),)
    (model,) = review.plan.models
    difference = ("--- standing reconciler.yaml", "+++ proposed", "@@ -1,4 +1 @@", "-slots:", *["-  - slot: x"] * 3)
    bare = [Exposure(ModelRef(name), Slot("Production"), ("soak", "metric")) for name in ("churn", "risk-classifier")]
    weak = Exposure(ModelRef("fraud"), Slot("@champion"), ("metric",), ("soak",), 1)
    return replace(
        review,
        plan=replace(review.plan, models=(replace(model, verdicts=verdicts),)),
        policy=policy_note(difference, verdicts, (), *bare, weak),
    )


def crowded(count: int = 200) -> Review:
    """One model that matters, behind many whose records change, and many notes that mean little."""
    names = [f"a-model-{n:03}" for n in range(count)]
    plan = plan_of(
        *((want({S: [1]}, name=name), have({1: S}, name=name)) for name in names),
        (want({P: [2]}, name="zebra"), have({1: P, 2: S}, owner=owns(P), name="zebra")),
    )
    note = "overridden until 2026-06-01 by grace@acme.example (manifests/zebra.yaml:14): new hardware"
    entrance = Entrance(ModelRef("zebra"), Version(2), Slot("Production"), Version(1))
    let_in = Verdict(entrance, "latency", Ruling.OVERRIDDEN, "latency_ms is 21.6, above 20", POLICY, note)
    models = tuple(replace(m, verdicts=(let_in,)) if m.model == "zebra" else m for m in plan.models)
    difference = ("--- standing reconciler.yaml", "+++ proposed", *(f"+# {'x' * 250}{n}" for n in range(70)))
    return Review(
        replace(plan, models=models),
        URI,
        notes=tuple(Note(f"Harmless note {n}.") for n in range(25)),
        policy=policy_note(difference, (let_in,), (let_in,)),
    )
