"""That what we say of two signatures is what MLflow does: its own enforcement, in this process."""

import copy
import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from reconciler.core.signature import (
    PARAMS_WIDEN,
    WIDENS,
    Array,
    Column,
    ColumnType,
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
from reconciler.evidence.mlmodel import read_mlmodel

TYPES = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
EXAMPLES = 150
GOES_ON = {Compatibility.IDENTICAL, Compatibility.COMPATIBLE}


def told(kind: ColumnType) -> dict[str, Any]:
    """A type as MLflow's JSON has it."""
    match kind:
        case Scalar(name):
            return {"type": name}
        case Tensor(dtype, shape):
            return {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}
        case Array(items):
            return {"type": "array", "items": told(items)}
        case MapOf(values):
            return {"type": "map", "values": told(values)}
        case Struct(fields):
            return {"type": "object", "properties": {f.name: {**told(f.type), "required": f.required} for f in fields}}


def in_mlflow(schema: Schema) -> Any:
    """The same schema as MLflow's own."""
    from mlflow.types import Schema as MlflowSchema

    def column(one: Column) -> dict[str, Any]:
        named = {"name": one.name} if one.name else {}
        required = {} if isinstance(one.type, Tensor) else {"required": one.required}
        return {**told(one.type), **named, **required}

    mlflow_schema: Any = MlflowSchema
    return mlflow_schema.from_json(json.dumps([column(one) for one in schema]))


def takes(schema: Schema, data: Any) -> bool:
    """Whether MLflow accepts the data for a model with this schema. It may change what it is given, so gets a copy."""
    from mlflow.models import utils

    enforce: Callable[[Any, Any], Any] = getattr(utils, "_enforce_schema")  # noqa: B009  # MLflow's own, not public
    try:
        enforce(copy.deepcopy(data), in_mlflow(schema))
    except Exception:  # noqa: BLE001  # it refuses with whatever pandas raises
        return False
    return True


def goes_on(candidate: Signature, incumbent: Signature) -> bool:
    return judge_signature(candidate, incumbent).compatibility in GOES_ON


# Schemas, and others that somebody may have made out of them.

scalars = st.sampled_from([Scalar(name) for name in (*TYPES, "integer", "float", "any")])


def structs(inner: st.SearchStrategy[ColumnType]) -> st.SearchStrategy[ColumnType]:
    fields = st.dictionaries(st.sampled_from("uvw"), st.tuples(inner, st.booleans()), min_size=1)
    return fields.map(lambda found: Struct(tuple(Column(n, t, r) for n, (t, r) in sorted(found.items()))))


types = st.recursive(scalars, lambda inner: st.one_of(inner.map(Array), inner.map(MapOf), structs(inner)), max_leaves=3)
columns = st.dictionaries(st.sampled_from("abcd"), st.tuples(types, st.booleans()), min_size=1, max_size=3).map(
    lambda found: tuple(Column(name, kind, required) for name, (kind, required) in found.items())
)
unnamed = st.lists(types, min_size=1, max_size=3).map(lambda found: tuple(Column("", kind) for kind in found))


def now_and_then(times: int) -> st.SearchStrategy[bool]:
    """True once in so many times; hypothesis prefers what comes first."""
    return st.sampled_from([False] * (times - 1) + [True])


@st.composite
def changed_types(draw: st.DrawFn, kind: ColumnType) -> ColumnType:
    """A type that came out of another: mostly wider, at times any other."""
    if draw(now_and_then(12)):
        return draw(types)
    match kind:
        case Scalar(name):
            return Scalar(draw(st.sampled_from([*sorted(WIDENS.get(name, [name])), "any"])))
        case Array(items):
            return Array(draw(changed_types(items)))
        case MapOf(values):
            return MapOf(draw(changed_types(values)))
        case Struct(fields):
            return Struct(draw(changed(fields)))
        case Tensor():
            return kind


@st.composite
def changed(draw: st.DrawFn, schema: Schema) -> Schema:
    """A schema that came out of another: columns of other types, required or not anymore, dropped, and new."""
    found = {c.name: c for c in schema}
    for name, column in tuple(found.items()):
        kind = draw(changed_types(column.type))
        found[name] = Column(name, kind, (column.required and draw(st.booleans())) or draw(now_and_then(15)))
        if len(found) > 1 and draw(now_and_then(5)):
            del found[name]
    if draw(now_and_then(3)):
        found.setdefault("z", Column("z", draw(types), required=draw(now_and_then(4))))
    return tuple(sorted(found.values(), key=lambda c: c.name))


# Data for a schema: what callers have, in pandas' and Python's own types.


def _numbers(dtype: str) -> Any:
    import numpy as np

    return {
        "zeros": [np.array([0, 1], "int64"), np.array([1, 1], "int64")],
        **{
            f"{kind}{bits}": [np.array([0, 1], f"{kind}{bits}")] for kind in ("int", "uint") for bits in (8, 16, 32, 64)
        },
        **{f"float{bits}": [np.array([0.5, 1], f"float{bits}")] for bits in (16, 32, 64)},
        "bool": [np.array([True, False])],
    }[dtype][0]


SENT = {
    "boolean": ["bool", "objects"],
    "integer": ["int32", "int16", "int8", "uint8", "uint16", "Int32", "int64"],
    "long": ["int64", "int32", "uint32", "objects", "Int64"],
    "float": ["float32", "float16", "zeros", "Float32", "float64"],
    "double": ["float64", "float32", "int32", "zeros", "decimals"],
    "string": ["texts", "objects", "mixed"],
    "binary": ["bytes", "texts"],
    "datetime": ["datetime64[ns]", "datetime64[s]", "dates", "texts"],
    "any": ["mixed", "texts", "int64"],
}


def series(how: str) -> Any:
    """Two values as a caller may send them in a column."""
    import decimal

    import numpy as np
    import pandas as pd

    made: Mapping[str, Callable[[], Any]] = {
        "objects": lambda: pd.Series([True, None], dtype=object),
        "mixed": lambda: pd.Series([1, "x"], dtype=object),
        "texts": lambda: pd.Series(["x", "y"]),
        "bytes": lambda: pd.Series([b"x", b"y"]),
        "dates": lambda: pd.Series([dt.date(2026, 1, 1), dt.date(2026, 1, 2)], dtype=object),
        "decimals": lambda: pd.Series([decimal.Decimal("1.5"), decimal.Decimal(2)]),
        "datetime64[ns]": lambda: pd.Series(np.array(["2026-01-01", "2026-01-02"], "datetime64[ns]")),
        "datetime64[s]": lambda: pd.Series(np.array(["2026-01-01", "2026-01-02"], "datetime64[s]")),
        "Int32": lambda: pd.Series([1, 2], dtype="Int32"),
        "Int64": lambda: pd.Series([1, 2], dtype="Int64"),
        "Float32": lambda: pd.Series([1.5, 2], dtype="Float32"),
    }
    return made[how]() if how in made else pd.Series(_numbers(how))


@st.composite
def values(draw: st.DrawFn, kind: ColumnType, required: bool) -> Any:
    """One value inside of a column."""
    if not required and draw(st.integers(0, 2)) == 0:
        return None
    match kind:
        case Scalar(name):
            return series(draw(st.sampled_from(SENT[name])))[draw(st.integers(0, 1))]
        case Array(Scalar(name)) if draw(st.booleans()):
            return series(draw(st.sampled_from(SENT[name]))).to_numpy()
        case Array(items):
            return draw(st.lists(values(items, required), max_size=2))
        case MapOf(inner):
            return draw(st.dictionaries(st.sampled_from("kl"), values(inner, required), max_size=2))
        case Struct(fields):
            sent = [f for f in fields if f.required or draw(st.booleans())]
            return {f.name: draw(values(f.type, f.required)) for f in sent}
        case Tensor():
            raise NotImplementedError


@st.composite
def frames(draw: st.DrawFn, schema: Schema) -> Any:
    """A data frame of the columns of a schema, or of those that are required."""
    import pandas as pd

    found: dict[str, Any] = {}
    for position, column in enumerate(schema):
        if not column.required and draw(st.booleans()):
            continue
        if isinstance(column.type, Scalar):
            data = series(draw(st.sampled_from(SENT[column.type.name])))
        else:
            data = pd.Series([draw(values(column.type, column.required)) for _ in range(2)], dtype=object)
        found[column.name or f"column {position}"] = data
    return pd.DataFrame(found, index=range(2))


@given(st.data())
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_what_we_call_compatible_mlflow_accepts(data: st.DataObject) -> None:
    incumbent = data.draw(columns, label="incumbent")
    candidate = data.draw(changed(incumbent), label="candidate")
    if candidate == incumbent or not goes_on(Signature(candidate), Signature(incumbent)):
        event("the same, or breaking")
        return
    sent = [frame for frame in (data.draw(frames(incumbent)) for _ in range(4)) if takes(incumbent, frame)]
    event("compatible, and some data" if sent else "compatible, and no data")

    refused = [frame for frame in sent if not takes(candidate, frame)]

    assert refused == []


def test_a_type_takes_what_we_say_it_widens_and_no_other() -> None:
    """Values of each type, as wide as it has them, sent to each other type."""
    full = {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}
    full |= {"datetime": "datetime64[ns]", "string": "texts", "binary": "bytes"}
    import pandas as pd

    accepted = {
        (has, wants)
        for has, how in full.items()
        for wants in full
        if takes((Column("a", Scalar(wants)),), pd.DataFrame({"a": series(how) if how != "int64" else [2**40, 2]}))
    }

    # MLflow does not look into text and bytes: to it, they are objects, as truth values with gaps are.
    same = {("string", "binary"), ("binary", "string"), ("binary", "boolean")}
    assert accepted - same == {(t, t) for t in full} | {(has, w) for has, wide in WIDENS.items() for w in wide}


dims = st.lists(st.sampled_from([-1, 2, 3]), min_size=1, max_size=3).map(tuple)
tensors = st.builds(Tensor, st.sampled_from(["float32", "float64", "object"]), dims)


@st.composite
def arrays(draw: st.DrawFn, tensor: Tensor) -> Any:
    """What callers send where a tensor is asked for: an array, a ragged one, or a data frame."""
    import numpy as np
    import pandas as pd

    shape = tuple(draw(st.sampled_from([2, 3])) if n == -1 else n for n in tensor.shape)
    match draw(st.sampled_from(["array", "array", "ragged", "frame", "lists"])):
        case "ragged":
            ragged = np.empty(2, dtype=object)
            ragged[:] = [[1.0], [1.0, 2.0]]
            return ragged
        case "frame":
            return pd.DataFrame(np.ones((2, shape[1] if len(shape) > 1 else 1), tensor.dtype))
        case "lists":
            return pd.DataFrame({"x": [[1.0] * int(np.prod(shape[1:]))] * 2})
        case _:
            return np.ones(shape, tensor.dtype)


@given(st.data())
@settings(max_examples=150)
def test_tensors_that_we_call_compatible_mlflow_accepts(data: st.DataObject) -> None:
    old = data.draw(tensors, label="incumbent")
    loosened = st.tuples(*(st.sampled_from([n, -1]) for n in old.shape)).map(lambda shape: replace(old, shape=shape))
    new = data.draw(st.one_of(loosened, tensors), label="candidate")
    name = data.draw(st.sampled_from(["", "x"]))
    incumbent, candidate = (Column(name, old),), (Column(name, new),)
    sent = data.draw(arrays(old))
    if name and not hasattr(sent, "columns") and data.draw(st.booleans()):
        sent = {name: sent}
    if not goes_on(Signature(candidate), Signature(incumbent)) or not takes(incumbent, sent):
        return

    assert takes(candidate, sent)


def test_a_tensor_of_any_width_takes_no_data_frame_and_that_breaks() -> None:
    import numpy as np
    import pandas as pd

    fixed, any_width = (Column("", Tensor("float64", (-1, 2))),), (Column("", Tensor("float64", (-1, -1))),)
    frame = pd.DataFrame(np.ones((3, 2)))

    assert takes(fixed, frame)
    assert not takes(any_width, frame)
    assert not goes_on(Signature(any_width), Signature(fixed))


NUMBERS: dict[str, list[Any]] = {
    "boolean": [True],
    "integer": [1, 2**40],
    "long": [1, 2**40],
    "float": [0.5, 3],
    "double": [0.5, 3],
    "string": ["x"],
    "datetime": ["2026-01-01", dt.date(2026, 1, 1)],
}
DEFAULTS: dict[str, Any] = {name: found[0] for name, found in NUMBERS.items()}


def parameter(kind: str, shape: tuple[int, ...] | None) -> Parameter:
    default = DEFAULTS[kind] if shape is None else [DEFAULTS[kind]]
    return Parameter("p", kind, json.dumps(default), shape)


def takes_param(asked: Parameter, value: Any) -> bool:
    from mlflow.models import utils
    from mlflow.types.schema import ParamSchema

    schema: Any = ParamSchema
    told_of = {"name": "p", "type": asked.type, "default": json.loads(asked.default), "shape": asked.shape}
    enforce: Callable[[Any, Any], Any] = getattr(utils, "_enforce_params_schema")  # noqa: B009  # not public
    try:
        enforce({"p": value}, schema.from_json(json.dumps([told_of])))
    except Exception:  # noqa: BLE001  # as above
        return False
    return True


def sent_params(asked: Parameter) -> list[Any]:
    import numpy as np

    typed: dict[str, list[Any]] = {
        "integer": [np.int32(1)],
        "long": [np.int64(1), np.int32(1)],
        "float": [np.float32(1)],
    }
    typed["double"] = [np.float64(1), np.float32(1), np.int64(1)]
    one = [*NUMBERS[asked.type], *typed.get(asked.type, []), None]
    return one if asked.shape is None else [one[:1], [], one, np.array(NUMBERS[asked.type][:1])]


@pytest.mark.parametrize("shape", [None, (-1,)])
@pytest.mark.parametrize("old", sorted(NUMBERS))
@pytest.mark.parametrize("new", sorted(NUMBERS))
def test_params_that_we_call_compatible_mlflow_accepts(old: str, new: str, shape: tuple[int, ...] | None) -> None:
    incumbent, candidate = parameter(old, shape), parameter(new, shape)
    sent = [value for value in sent_params(incumbent) if takes_param(incumbent, value)]

    accepted = [takes_param(candidate, value) for value in sent]

    assert sent
    compatible = goes_on(Signature(params=(candidate,)), Signature(params=(incumbent,)))
    assert compatible == (old == new or new in PARAMS_WIDEN.get(old, ()))
    assert all(accepted) or not compatible


def test_a_parameter_of_one_value_takes_no_list_and_the_other_way_about() -> None:
    one, many = parameter("double", None), parameter("double", (-1,))

    assert not takes_param(many, 0.5)
    assert not takes_param(one, [0.5])
    assert not goes_on(Signature(params=(many,)), Signature(params=(one,)))
    assert not goes_on(Signature(params=(one,)), Signature(params=(many,)))


@given(st.one_of(columns, unnamed, tensors.map(lambda tensor: (Column("", tensor),))))
@settings(max_examples=100)
def test_a_schema_that_mlflow_writes_is_read_as_it_is(schema: Schema) -> None:
    written = yaml.safe_dump({"signature": {"inputs": in_mlflow(schema).to_json(), "outputs": None, "params": None}})

    assert read_mlmodel(written.encode()).signature == Signature(schema)


def test_params_that_mlflow_writes_are_read_as_they_are() -> None:
    from mlflow.types.schema import ParamSchema

    schema: Any = ParamSchema
    params = [
        {"name": "t", "type": "double", "default": 0.5, "shape": None},
        {"name": "stop", "type": "string", "default": ["a"], "shape": [-1]},
        {"name": "o", "type": "object", "default": {"k": 1}, "properties": {"k": {"type": "long", "required": True}}},
    ]
    written = yaml.safe_dump({"signature": {"params": schema.from_json(json.dumps(params)).to_json()}})

    assert read_mlmodel(written.encode()).signature == Signature(
        params=(
            Parameter("t", "double", "0.5"),
            Parameter("stop", "string", '["a"]', (-1,)),
            Parameter("o", "object {k: long}", '{"k": 1}'),
        )
    )
