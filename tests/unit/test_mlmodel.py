"""What is read from the files beside a model, and from files that somebody made to look like them."""

import json
from typing import Any

import pytest
import yaml

from reconciler.core.signature import Array, Column, MapOf, Scalar, Signature, Struct, Tensor
from reconciler.evidence.mlmodel import (
    MAX_BYTES,
    ModelFile,
    named_files,
    read_mlmodel,
    read_python_env,
    read_requirements,
)


def signed(*columns: Any) -> ModelFile:
    return read_mlmodel(yaml.safe_dump({"signature": {"inputs": json.dumps(columns)}}).encode())


TYPES: dict[str, tuple[Any, Column]] = {
    "a column": ({"name": "a", "type": "double", "required": True}, Column("a", Scalar("double"))),
    "a column of MLflow 1": ({"name": "a", "type": "double"}, Column("a", Scalar("double"))),
    "an optional one": ({"name": "a", "type": "long", "required": False}, Column("a", Scalar("long"), False)),
    "an optional one of MLflow 2.9": (
        {"name": "a", "type": "long", "optional": True},
        Column("a", Scalar("long"), False),
    ),
    "one without a name": ({"type": "long"}, Column("", Scalar("long"))),
    "one whose name is a number": ({"name": 0, "type": "long"}, Column("0", Scalar("long"))),
    "a tensor": (
        {"type": "tensor", "tensor-spec": {"dtype": "uint8", "shape": [-1, 28]}},
        Column("", Tensor("uint8", (-1, 28))),
    ),
    "a list": (
        {"name": "a", "type": "array", "items": {"type": "string"}, "required": True},
        Column("a", Array(Scalar("string"))),
    ),
    "a map": (
        {"name": "a", "type": "map", "values": {"type": "long"}, "required": True},
        Column("a", MapOf(Scalar("long"))),
    ),
    "an object": (
        {
            "name": "a",
            "type": "object",
            "required": True,
            "properties": {"z": {"type": "long", "required": False}, "b": {"type": "any"}},
        },
        Column("a", Struct((Column("b", Scalar("any")), Column("z", Scalar("long"), False)))),
    ),
    "a vector of Spark's": (
        {"name": "a", "type": "sparkml_vector", "required": True},
        Column("a", Scalar("sparkml_vector")),
    ),
    "a type of tomorrow": ({"name": "a", "type": "quaternion"}, Column("a", Scalar("quaternion"))),
}


@pytest.mark.parametrize(("told", "column"), TYPES.values(), ids=TYPES.keys())
def test_types(told: Any, column: Column) -> None:
    assert signed(told).signature == Signature((column,))


UNREADABLE: dict[str, Any] = {
    "no JSON": {"inputs": "["},
    "no text": {"inputs": [{"name": "a"}]},
    "no type": {"inputs": '[{"name": "a"}]'},
    "a type that is a list": {"inputs": '[{"type": []}]'},
    "no list": {"inputs": "7"},
    "a list of numbers": {"inputs": "[7]"},
    "a shape of texts": {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "f", "shape": ["x"]}}]'},
    "a parameter without a default": {"params": '[{"name": "p", "type": "long"}]'},
    "deep JSON": {"inputs": "[" * 100_000},
    "deep types": {"inputs": '[{"type":"array","items":' * 5_000},
}


@pytest.mark.parametrize("told", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_signature_that_cannot_be_read_does_not_hide_the_rest(told: Any) -> None:
    read = read_mlmodel(yaml.safe_dump({"signature": told, "model_size_bytes": 12}).encode())

    assert read.signature is None
    assert read.signature_fault == "the MLmodel file has one that cannot be read"
    assert read.size == 12


@pytest.mark.parametrize("told", ["flavors: {}", "signature:", "signature: null", "signature: {inputs: 'null'}"])
def test_a_model_may_have_no_signature(told: str) -> None:
    assert read_mlmodel(told.encode()).signature_fault == "it was logged without one"


NO_FILE: dict[str, tuple[bytes, str]] = {
    "no YAML": (b"a: [", "is not YAML"),
    "control characters": (b"a: \x00", "is not YAML"),
    "an unknown tag is no danger": (b"!!python/object:os.system x: y: [", "is not YAML"),
    "no text": (b"\xff\xfe\xff", "is not UTF-8"),
    "nothing": (b"", "does not describe a model"),
    "a list": (b"[1, 2]", "does not describe a model"),
    "lists in lists": (b"[" * 200_000, "is nested too deeply"),
    "entries in entries": (b"- " * 200_000, "is nested too deeply"),
    "too large": (b"#" * (MAX_BYTES + 1), "is larger than 1 MiB"),
}


@pytest.mark.parametrize(("data", "why"), NO_FILE.values(), ids=NO_FILE.keys())
def test_what_is_no_mlmodel_file_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_mlmodel(data)


FLAVORS: dict[str, tuple[dict[str, Any], str]] = {
    "its own name": ({"sklearn_version": "1.9.1", "pickled_model": "model.pkl"}, "1.9.1"),
    "a shorter name": ({"skl_version": "1.9.1"}, "1.9.1"),
    "its own among others": ({"sklearn_version": "1.9.1", "numpy_version": "2"}, "1.9.1"),
    "others alone": ({"pandas_version": "3", "numpy_version": "2"}, ""),
    "none": ({"pickled_model": "model.pkl"}, ""),
    "Python's": ({"python_version": "3.11.4"}, ""),
    "null": ({"sklearn_version": None}, ""),
}


@pytest.mark.parametrize(("conf", "version"), FLAVORS.values(), ids=FLAVORS.keys())
def test_the_version_of_a_library(conf: dict[str, Any], version: str) -> None:
    assert read_mlmodel(yaml.safe_dump({"flavors": {"sklearn": conf}}).encode()).flavors == {"sklearn": version}


def test_versions_are_kept_as_they_are_written() -> None:
    told = b"flavors: {python_function: {python_version: 3.10}, sklearn: {sklearn_version: 1.10}}"

    read = read_mlmodel(told)

    assert (read.python, read.flavors) == ("3.10", {"python_function": "", "sklearn": "1.10"})


@pytest.mark.parametrize("size", ["-1", "many", "1e9", "9" * 5000, "[]"])
def test_a_size_that_is_none_is_left_out(size: str) -> None:
    assert read_mlmodel(f"model_size_bytes: {size}".encode()).size is None


def test_python_may_be_said_beside_the_model() -> None:
    assert read_python_env(b"python: 3.10\nbuild_dependencies: [pip==24.0]\n") == "3.10"


def test_requirements_are_lines_that_ask_for_something() -> None:
    text = """\
# a comment
scikit-learn==1.9.1  # the library

  pandas [performance]  >= 2
torch==2.1 \\
    --hash=sha256:abc
pkg @ https://acme.example/pkg.whl#sha256=abc
-r more.txt
"""

    assert read_requirements(text.encode()) == (
        "scikit-learn==1.9.1",
        "pandas [performance] >= 2",
        "torch==2.1 --hash=sha256:abc",
        "pkg @ https://acme.example/pkg.whl#sha256=abc",
        "-r more.txt",
    )


BY_SKLEARN = """\
flavors:
  python_function:
    code: code/
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    model_path: model.pkl
  sklearn: {pickled_model: model.pkl, code: null}
"""
BY_PYTHON = """\
flavors:
  python_function:
    artifacts: {words: {path: artifacts/words.txt, uri: s3://b/words.txt}}
    data: null
    env: conda.yaml
    python_model: python_model.pkl
saved_input_example_info: {artifact_path: input_example.json}
"""
NAMES: dict[str, tuple[str, tuple[str, ...]]] = {
    "by sklearn": (BY_SKLEARN, ("code", "conda.yaml", "model.pkl", "python_env.yaml")),
    "by a model in Python": (
        BY_PYTHON,
        ("artifacts/words.txt", "conda.yaml", "input_example.json", "python_model.pkl"),
    ),
    "by nothing": ("flavors: [1]", ()),
    "in places that make no sense": ("flavors: {x: {data: [1], env: {a: [2]}, artifacts: {b: c}, code: .}}", ()),
}


@pytest.mark.parametrize("case", NAMES)
def test_the_files_that_a_model_file_names(case: str) -> None:
    text, names = NAMES[case]

    assert named_files(text.encode()) == names


@pytest.mark.parametrize("text", ["", "[", "a", "[" * 100])
def test_a_model_file_that_names_nothing_because_it_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        named_files(text.encode())
