"""Whose approval counts: the people of a group, without the authors of the change."""

import re
import string
import unicodedata
from collections.abc import Iterable, Mapping

from reconciler.core.gate import Approval, Quorum

OWNERS = "owners"

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def eligible(quorum: Quorum, owners: Iterable[str], groups: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """
    The people of a quorum's group, as they are listed: `ada@acme.example`, `@ada`, or both of one person in one entry,
    `Ada <ada@acme.example> @ada`. `owners` are the model's; an owner that is a group (`@acme/risk-ml`) stands for its
    members, and for nobody where the policy does not list them.
    """
    if quorum.group != OWNERS:
        listed = groups.get(quorum.group, ())
    else:
        listed = tuple(person for owner in owners for person in groups.get(owner, (owner,)))
    return frozenset(person for person in listed if _identities(person))


def counted(approvals: Iterable[Approval], eligible: Iterable[str], authors: Iterable[str]) -> tuple[str, ...]:
    """
    Who has approved out of those, each person once, by the first name in the alphabet that they approved under. Who is
    an author of the change under any of their names is left out.

    Letters must be the same but for the case of `a` to `z`: a look-alike of an approver is nobody. A look-alike of an
    author is the author, since both mistakes are to cost an approval, and neither is to make one.
    """
    wrote = {_folded(name) for author in authors for name in _names(author)}
    said = {_identity(approval.who): approval.who for approval in sorted(approvals, key=lambda a: a.who, reverse=True)}
    found: list[str] = []
    for person in _people(eligible):
        names = sorted(said[identity] for identity in person & said.keys())
        if names and not any(_folded(identity) in wrote for identity in person):
            found.append(names[0])
    return tuple(sorted(found))


def _people(listed: Iterable[str]) -> list[frozenset[str]]:
    """Everybody's identities. Two entries with one in common are one person."""
    people: list[frozenset[str]] = []
    for entry in sorted(listed):
        person = _identities(entry)
        for other in [p for p in people if p & person]:
            people.remove(other)
            person |= other
        if person:
            people.append(person)
    return people


def _identities(entry: str) -> frozenset[str]:
    """The email addresses and logins in an entry of a group; teams are not people."""
    return frozenset(
        name.translate(_ASCII_LOWER) for name in re.split(r"[\s<>,]+", entry) if "@" in name and "/" not in name
    )


def _identity(who: str) -> str:
    """Who approved: the address at the end of `Name <email>`, or else all of it, so that no name can pass for one."""
    matched = re.search(r"<([^<>]*)>\s*\Z", who)
    return (matched[1] if matched else who).strip().translate(_ASCII_LOWER)


def _names(author: str) -> list[str]:
    """Everything in an author's name that may be an address or a login."""
    return [author.strip(), _identity(author), *(name for name in re.split(r"[\s<>,]+", author) if "@" in name)]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
