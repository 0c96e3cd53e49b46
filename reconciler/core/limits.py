"""
How much of what others write is read, judged and shown. The table in `docs/security.md` has the same rows, which
`tests/unit/test_limits.py` checks.
"""

from dataclasses import dataclass
from typing import Final

FILE_BYTES: Final = 1024 * 1024
FOLDER_BYTES: Final = 16 * 1024 * 1024
FOLDER_FILES: Final = 10_000
DOCUMENTS: Final = 2_000
VALUES: Final = 50_000
ALIASED_VALUES: Final = 10_000
MANIFEST_NESTING: Final = 20
PROBLEMS: Final = 200
REGISTRIES: Final = 20
REGISTRIES_AT_ONCE: Final = 8

GATES: Final = 50
POLICY_GATES: Final = 1_000
WINDOWS: Final = 100
MISSING_RECEIPTS: Final = 1_000
WINDOW_YEARS: Final = 12
GATE_SECONDS: Final = 2.0
JUDGING_SECONDS: Final = 60.0
MODEL_SHARE: Final = 0.25

NESTING: Final = 64
COLUMNS: Final = 10_000
VERSION_TAGS: Final = 1_000
VERSION_VALUES: Final = 10_000
RECORD_CHARACTERS: Final = 100_000
CHECK_RECORDS: Final = 100
COPIES_OF_COPIES: Final = 4
CARRIED_POINTS: Final = 1_000_000
ANSWER_BYTES: Final = 256 * 1024 * 1024
ANSWER_SECONDS: Final = 180.0
LISTS_SECONDS: Final = 900.0
FILES_SECONDS: Final = 3600.0
COPYING_SECONDS: Final = 4 * 3600.0

LOCK_BYTES: Final = 256 * 1024
LOCK_SECONDS: Final = 3600.0
RECEIPT_BYTES: Final = 64 * 1024 * 1024
HEADS: Final = 100
BUNDLE_BYTES: Final = 256 * 1024 * 1024
BUNDLE_FILES: Final = 10_000
NOTEBOOK_BYTES: Final = 1024 * 1024
NOTEBOOK_MODELS: Final = 20_000
NOTEBOOK_VERSIONS: Final = 1_000

NOTES: Final = 20
DIFF_LINES: Final = 60
COMPARED_LINES: Final = 5_000
CELL_CHARACTERS: Final = 200
MARKDOWN_CHARACTERS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Limit:
    """A row of the table: what is limited, how much of it there may be, and what happens to more."""

    subject: str
    most: str
    beyond: str


_PROBLEM = "a problem at its place"
_UNKNOWN = "`unknown`"

TABLE: Final = (
    Limit("a manifest or the policy", f"{FILE_BYTES // 1024**2} MiB", _PROBLEM),
    Limit(
        "all manifests of a folder", f"{FOLDER_FILES:,} files, {FOLDER_BYTES // 1024**2} MiB", "a problem of the folder"
    ),
    Limit("documents of a file", f"{DOCUMENTS:,}", _PROBLEM),
    Limit("values of a file", f"{VALUES:,}", _PROBLEM),
    Limit("values that the YAML aliases of a document expand to", f"{ALIASED_VALUES:,}", _PROBLEM),
    Limit("nesting of a manifest or the policy", f"{MANIFEST_NESTING}", _PROBLEM),
    Limit("problems of a file", f"{PROBLEMS}", "counted"),
    Limit("registries of the policy", f"{REGISTRIES}", _PROBLEM),
    Limit("registries that are read at the same time", f"{REGISTRIES_AT_ONCE}", "the others after them"),
    Limit("gates of the policy", f"{POLICY_GATES:,}", _PROBLEM),
    Limit("gates before a slot", f"{GATES}", f"{_PROBLEM}, or {_UNKNOWN}"),
    Limit("windows of a `freeze` gate", f"{WINDOWS}", _PROBLEM),
    Limit("missing receipts that the policy acknowledges", f"{MISSING_RECEIPTS:,}", _PROBLEM),
    Limit("time until a window opens again", f"{WINDOW_YEARS} years", _PROBLEM),
    Limit("CPU time of a gate", f"{GATE_SECONDS:g} s", _UNKNOWN),
    Limit("CPU time of all gates", f"{JUDGING_SECONDS:g} s", _UNKNOWN),
    Limit("CPU time of the gates of one model", f"{MODEL_SHARE:.0%} of what is left of that", _UNKNOWN),
    Limit("an `MLmodel`, `requirements.txt` or `python_env.yaml`", f"{FILE_BYTES // 1024**2} MiB", _UNKNOWN),
    Limit("nesting of an `MLmodel` file, and of a type in a signature", f"{NESTING}", _UNKNOWN),
    Limit("columns of a signature", f"{COLUMNS:,}", _UNKNOWN),
    Limit("tags of a version", f"{VERSION_TAGS:,}", _UNKNOWN),
    Limit("parameters, metrics or requirements of a version", f"{VERSION_VALUES:,}", _UNKNOWN),
    Limit("a record of ours in a tag", f"{RECORD_CHARACTERS:,} characters", "unreadable"),
    Limit("check records of a version", f"{CHECK_RECORDS}", _UNKNOWN),
    Limit("copies of copies that are followed to an original", f"{COPIES_OF_COPIES}", _UNKNOWN),
    Limit(
        "values of the metrics of a run that is copied to another registry", f"{CARRIED_POINTS:,}", "it is not copied"
    ),
    Limit("tags or datasets of such a run", f"{VERSION_TAGS:,}", "the same"),
    Limit(
        "an answer about another registry, from the process that reads it",
        f"{ANSWER_BYTES // 1024**2} MiB",
        "what is copied from there is not known",
    ),
    Limit(
        "time for an answer about another registry",
        f"{ANSWER_SECONDS / 60:g} min; {LISTS_SECONDS / 60:g} min for evidence and lists; "
        f"{FILES_SECONDS / 3600:g} h for files",
        "the same, and nothing more is asked there",
    ),
    Limit(
        "time for the files of a version to be copied from another registry",
        f"{COPYING_SECONDS / 3600:g} h",
        "not copied; the next apply goes on",
    ),
    Limit("the record of a lock", f"{LOCK_BYTES // 1024} KiB", "not a valid record: nothing is applied"),
    Limit("time to wait for a lock whose holder has died", f"{LOCK_SECONDS / 3600:g} h", "counted as the limit"),
    Limit("a kept receipt", f"{RECEIPT_BYTES // 1024**2} MiB", "not kept; read as damaged"),
    Limit(
        "a bundle of evidence, unpacked",
        f"{BUNDLE_FILES:,} files, {BUNDLE_BYTES // 1024**2} MiB",
        "not made; read as damaged",
    ),
    Limit("commits that a lock remembers per repository", f"{HEADS}", "the oldest are forgotten"),
    Limit("records of a model in `refs/reconciler/records`", f"{NOTEBOOK_BYTES // 1024**2} MiB", "unreadable"),
    Limit("versions with a record there, a model", f"{NOTEBOOK_VERSIONS:,}", "the same"),
    Limit("models there", f"{NOTEBOOK_MODELS:,}", "none of them is read, and nothing is applied"),
    Limit("notes above a review", f"the {NOTES} most important", "counted"),
    Limit("lines of a policy diff in a comment", f"{DIFF_LINES}", "counted"),
    Limit("lines of a policy that are compared", f"{COMPARED_LINES:,}", "counted"),
    Limit("characters of a cell in a comment", f"{CELL_CHARACTERS}", "cut, with `…`"),
    Limit(
        "characters of Markdown that is printed or written to a file",
        f"{MARKDOWN_CHARACTERS:,}, or `--markdown-limit`",
        "the least important parts are left out and counted",
    ),
)
