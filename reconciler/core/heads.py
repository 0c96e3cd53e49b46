"""What applies remember of the protected branch, beside their lock: where it was, signed by those that have a key."""

from dataclasses import dataclass

from reconciler.core.names import Commit, RepositoryId
from reconciler.core.records import Seal, as_commit, as_object, as_text, canonical, read_seal, seal_document


@dataclass(frozen=True, slots=True)
class Head:
    """
    A commit that the branch was at, and when an apply saw that (RFC 3339). What came between two commits that applies
    `began` with came to an apply together; of the others, the apply was told that the branch had been there.
    """

    commit: Commit
    at: str = ""
    began: bool = True
    seal: Seal | None = None


def signed_bytes(repository: RepositoryId, head: Head) -> bytes:
    """What the signature is made of."""
    document = {"at": head.at, "began": head.began, "commit": head.commit}
    return canonical({"purpose": "reconciler-head", "repository": repository, **document})


def document_of(head: Head) -> dict[str, object]:
    """As a lock's record has it."""
    return {"commit": head.commit, "at": head.at, "began": head.began, "signature": seal_document(head.seal)}


def read_head(value: object) -> Head:
    """The same. Records of the last release have the commit alone. Raises KeyError, TypeError or ValueError."""
    if isinstance(value, str):
        return Head(Commit(as_commit(value)))
    document = as_object(value)
    began = document.get("began", True)
    if not isinstance(began, bool):
        raise TypeError("not a claim")
    commit, at = Commit(as_commit(document["commit"])), as_text(document.get("at", ""))
    return Head(commit, at, began, read_seal(document.get("signature")))
