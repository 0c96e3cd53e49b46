"""When one version can stand in for another, by what they take and give."""

import pytest

from reconciler.core.signature import (
    Array,
    Column,
    Compatibility,
    MapOf,
    Parameter,
    Scalar,
    Schema,
    Signature,
    Struct,
    Tensor,
    judge_signature,
)

LONG, INTEGER, FLOAT, DOUBLE, STRING, BINARY, ANY = (
    Scalar(name) for name in ("long", "integer", "float", "double", "string", "binary", "any")
)
AGE = Column("age", LONG)
IDENTICAL, COMPATIBLE, BREAKING, UNKNOWN = (
    Compatibility.IDENTICAL,
    Compatibility.COMPATIBLE,
    Compatibility.BREAKING,
    Compatibility.UNKNOWN,
)


def optional(name: str, kind: Scalar | Array | MapOf | Struct) -> Column:
    return Column(name, kind, required=False)


def a(kind: Scalar | Tensor | Array | MapOf | Struct) -> Schema:
    return (Column("a", kind),)


def struct(*fields: Column) -> Struct:
    return Struct(fields)


INPUTS: dict[str, tuple[Schema, Schema, Compatibility, str]] = {
    # what the incumbent takes, what the candidate takes, the verdict, and why
    "the same": ((AGE,), (AGE,), IDENTICAL, ""),
    "in another order": ((AGE, Column("b", STRING)), (Column("b", STRING), AGE), IDENTICAL, ""),
    "one column less": ((AGE, Column("b", STRING)), (AGE,), COMPATIBLE, "callers still send it; it is ignored"),
    "one column more": ((AGE,), (AGE, Column("b", STRING)), BREAKING, "callers do not send it"),
    "one more that is optional": (
        (AGE,),
        (AGE, optional("b", STRING)),
        COMPATIBLE,
        "optional: callers need not send it",
    ),
    "optional now": (a(LONG), (optional("a", LONG),), COMPATIBLE, "is no longer required"),
    "required now": ((optional("a", LONG),), a(LONG), BREAKING, "callers may omit it"),
    "wider": (a(INTEGER), a(DOUBLE), COMPATIBLE, "accepts everything that callers send"),
    "wider, and required now": ((optional("a", FLOAT),), a(DOUBLE), BREAKING, "callers may omit it"),
    "narrower": (a(DOUBLE), a(FLOAT), BREAKING, "callers send another type"),
    "a long is no double": (a(LONG), a(DOUBLE), BREAKING, "callers send another type"),
    "an integer is no float": (a(INTEGER), a(FLOAT), BREAKING, "callers send another type"),
    "text is no bytes": (a(STRING), a(BINARY), BREAKING, "callers send another type"),
    "anything": (a(struct(AGE)), a(ANY), COMPATIBLE, "accepts everything that callers send"),
    "no longer anything": (a(ANY), a(STRING), BREAKING, "callers send another type"),
    "a type that we do not know": (a(Scalar("sparkml_vector")), a(Scalar("sparkml_vector")), IDENTICAL, ""),
    "wider in a list": (a(Array(INTEGER)), a(Array(LONG)), COMPATIBLE, "accepts everything that callers send"),
    "narrower in a list": (a(Array(DOUBLE)), a(Array(FLOAT)), BREAKING, "callers send another type"),
    "a list of one": (a(LONG), a(Array(LONG)), BREAKING, "callers send another type"),
    "wider in a map": (a(MapOf(FLOAT)), a(MapOf(DOUBLE)), COMPATIBLE, "accepts everything that callers send"),
    "a property more": (a(struct(AGE)), a(struct(AGE, Column("b", LONG))), BREAKING, "callers do not send `b`"),
    "a property more, optional": (
        a(struct(AGE)),
        a(struct(AGE, optional("b", LONG))),
        COMPATIBLE,
        "accepts everything that callers send",
    ),
    "a property less": (
        a(struct(AGE, Column("b", LONG))),
        a(struct(AGE)),
        BREAKING,
        "callers send `b`, which is no longer accepted",
    ),
    "a property that is required now": (
        a(struct(optional("b", LONG))),
        a(struct(Column("b", LONG))),
        BREAKING,
        "callers may omit `b`",
    ),
    "a wider property": (
        a(struct(Column("b", INTEGER))),
        a(struct(Column("b", LONG))),
        COMPATIBLE,
        "accepts everything that callers send",
    ),
    "more rows": (a(Tensor("f", (3, 2))), a(Tensor("f", (-1, 2))), COMPATIBLE, "accepts everything that callers send"),
    "a fixed number of rows": (
        a(Tensor("f", (-1, 2))),
        a(Tensor("f", (3, 2))),
        BREAKING,
        "callers may send another shape",
    ),
    "another width": (a(Tensor("f", (-1, 2))), a(Tensor("f", (-1, 3))), BREAKING, "callers may send another shape"),
    "another rank": (
        a(Tensor("f", (-1, 2))),
        a(Tensor("f", (-1, 2, 1))),
        BREAKING,
        "callers send another number of dimensions",
    ),
    "another dtype": (a(Tensor("f", (-1,))), a(Tensor("g", (-1,))), BREAKING, "callers send another type"),
    "any width, where data frames were taken": (
        a(Tensor("f", (-1, 2))),
        a(Tensor("f", (-1, -1))),
        BREAKING,
        "callers may send a data frame, which needs fixed lengths",
    ),
    "any width, where none were": (
        a(Tensor("f", (3, 2))),
        a(Tensor("f", (3, -1))),
        COMPATIBLE,
        "accepts everything that callers send",
    ),
    "a table is no tensor": (a(DOUBLE), a(Tensor("f", (-1,))), BREAKING, "callers send another type"),
    "without names, one less": (
        (Column("", LONG), Column("", LONG)),
        (Column("", LONG),),
        BREAKING,
        "callers still send it; it is ignored",
    ),
    "names where there were none": ((Column("", LONG),), (AGE,), BREAKING, "callers do not send it"),
}


@pytest.mark.parametrize(("before", "after", "verdict", "why"), INPUTS.values(), ids=INPUTS.keys())
def test_inputs(before: Schema, after: Schema, verdict: Compatibility, why: str) -> None:
    judged = judge_signature(Signature(after), Signature(before))

    assert judged.compatibility is verdict
    if why:
        assert why in {difference.why for difference in judged.differences}
    else:
        assert judged.differences == ()


OUTPUTS: dict[str, tuple[Schema, Schema, Compatibility]] = {
    "the same": ((AGE,), (AGE,), IDENTICAL),
    "one more": ((AGE,), (AGE, Column("b", STRING)), COMPATIBLE),
    "one less": ((AGE, Column("b", STRING)), (AGE,), BREAKING),
    "wider": (a(INTEGER), a(LONG), BREAKING),
    "maybe missing": (a(LONG), (optional("a", LONG),), BREAKING),
    "always there": ((optional("a", LONG),), a(LONG), COMPATIBLE),
    "a property more": (a(struct(AGE)), a(struct(AGE, Column("b", LONG))), COMPATIBLE),
    "a property less": (a(struct(AGE, Column("b", LONG))), a(struct(AGE)), BREAKING),
    "a property that may be missing": (a(struct(AGE)), a(struct(optional("age", LONG))), BREAKING),
    "another type in a list": (a(Array(LONG)), a(Array(DOUBLE)), BREAKING),
    "more in each of a list": (a(Array(struct(AGE))), a(Array(struct(AGE, Column("b", LONG)))), COMPATIBLE),
    "another type in a map": (a(MapOf(LONG)), a(MapOf(DOUBLE)), BREAKING),
    "a fixed length, where any was read": (a(Tensor("f", (-1, -1))), a(Tensor("f", (-1, 2))), COMPATIBLE),
    "any length, where a fixed one was read": (a(Tensor("f", (-1, 2))), a(Tensor("f", (-1, -1))), BREAKING),
    "anything, where anything was read": (a(ANY), a(LONG), COMPATIBLE),
    "anything, where a number was read": (a(LONG), a(ANY), BREAKING),
    "one more, without names": ((Column("", LONG),), (Column("", LONG), Column("", LONG)), BREAKING),
}


@pytest.mark.parametrize(("before", "after", "verdict"), OUTPUTS.values(), ids=OUTPUTS.keys())
def test_outputs(before: Schema, after: Schema, verdict: Compatibility) -> None:
    taken = (AGE,)

    assert judge_signature(Signature(taken, after), Signature(taken, before)).compatibility is verdict


def param(kind: str, default: str = "1", shape: tuple[int, ...] | None = None) -> tuple[Parameter, ...]:
    return (Parameter("p", kind, default, shape),)


PARAMS: dict[str, tuple[tuple[Parameter, ...] | None, tuple[Parameter, ...] | None, Compatibility]] = {
    "the same": (param("long"), param("long"), IDENTICAL),
    "none": (None, (), IDENTICAL),
    "one more": (None, param("long"), COMPATIBLE),
    "one less": (param("long"), None, BREAKING),
    "wider": (param("long"), param("double"), COMPATIBLE),
    "narrower": (param("double"), param("long"), BREAKING),
    "another default": (param("long"), param("long", "2"), COMPATIBLE),
    "a list now": (param("long"), param("long", "[1]", (-1,)), BREAKING),
}


@pytest.mark.parametrize(("before", "after", "verdict"), PARAMS.values(), ids=PARAMS.keys())
def test_params(
    before: tuple[Parameter, ...] | None, after: tuple[Parameter, ...] | None, verdict: Compatibility
) -> None:
    judged = judge_signature(Signature((AGE,), params=after), Signature((AGE,), params=before))

    assert judged.compatibility is verdict


NOT_SAID: dict[str, tuple[Signature | None, Signature | None, Compatibility, str]] = {
    "neither": (None, None, UNKNOWN, "the candidate and the incumbent have no signature"),
    "only the incumbent": (None, Signature((AGE,)), UNKNOWN, "the candidate has no signature"),
    "only the candidate": (Signature((AGE,)), None, UNKNOWN, "the incumbent has no signature"),
    "outputs of one": (
        Signature((AGE,), (AGE,)),
        Signature((AGE,)),
        UNKNOWN,
        "only one of the two has a schema of outputs",
    ),
    "inputs of one, and outputs that break": (Signature((AGE,), a(LONG)), Signature(None, a(DOUBLE)), BREAKING, ""),
}


@pytest.mark.parametrize(("candidate", "incumbent", "verdict", "why"), NOT_SAID.values(), ids=NOT_SAID.keys())
def test_what_was_not_logged_is_not_taken_for_a_yes(
    candidate: Signature | None, incumbent: Signature | None, verdict: Compatibility, why: str
) -> None:
    judged = judge_signature(candidate, incumbent)

    assert (judged.compatibility, judged.why) == (verdict, why)


def test_a_difference_says_what_was_and_what_is() -> None:
    judged = judge_signature(Signature((optional("a", Array(struct(AGE))),)), Signature(a(Array(struct(AGE)))))

    assert [(d.where, d.name, d.before, d.after) for d in judged.differences] == [
        ("input", "a", "array of object {age: long}", "array of object {age: long} (optional)")
    ]
