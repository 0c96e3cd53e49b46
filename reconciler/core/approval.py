"""Whose approval counts: the people of a group, without those who had a hand in the change."""

import re
import string
import unicodedata
from collections.abc import Iterable, Mapping

from reconciler.core.gate import Approval, Quorum
from reconciler.core.moments import moment, moment_of

OWNERS = "owners"

_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_BOT = re.compile(
    r"\[bot\](?=$|[\s<>@])|^@(?:(?:project|group)_\d+_bot|service_account_|(?:alert|support)-bot$)", re.IGNORECASE
)
_PRIVATE = re.compile(r"(?:\d+[+-])?([^@]+)@users\.noreply\.[^@]+", re.IGNORECASE)
"""The address that a forge gives to those who keep theirs to themselves: `1234+ada@users.noreply.github.com`."""


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


def counted(
    approvals: Iterable[Approval], eligible: Iterable[str], authors: Iterable[str], people: Iterable[str] = ()
) -> tuple[str, ...]:
    """
    Who has approved out of those who are eligible, each person once, by the first name in the alphabet that they
    approved under. Whoever is an author of the change under any of their names is left out. `people` says which names
    are one person's; it makes nobody eligible.

    Letters must be the same but for the case of `a` to `z`: a look-alike of an approver is nobody. A look-alike of an
    author is the author, since both mistakes are to cost an approval, and neither is to make one.
    """
    listed = frozenset(name for entry in eligible for name in _identities(entry))
    wrote = {_folded(name) for author in authors for name in _names(author)}
    given = {_identity(approval.who): approval.who for approval in sorted(approvals, key=lambda a: a.who, reverse=True)}
    found: list[str] = []
    for person in persons((*eligible, *people)):
        names = sorted(given[identity] for identity in person & listed & given.keys())
        if names and not any(_folded(name) in wrote for identity in person for name in _names(identity)):
            found.append(names[0])
    return tuple(sorted(found))


def persons(entries: Iterable[str]) -> list[frozenset[str]]:
    """Everybody's identities. Two entries with one in common are one person."""
    people: list[frozenset[str]] = []
    for entry in sorted(entries):
        person = _identities(entry)
        for other in [p for p in people if p & person]:
            people.remove(other)
            person |= other
        if person:
            people.append(person)
    return people


def is_bot(author: str) -> bool:
    """Whether a login, or the name and address on a commit, is a program's: an app of GitHub, a token of GitLab."""
    return _BOT.search(author) is not None


def in_time(
    approvals: Iterable[Approval], created_at: int, now: str
) -> tuple[tuple[Approval, ...], tuple[Approval, ...]]:
    """
    Those that were given when the version was there already, and the others. `created_at` is in milliseconds since
    1970; git and the forges count whole seconds, so one of the second of the registration is in time. One that is dated
    ahead of `now`, or not at all, may be of any time.
    """
    present, registered = moment(now), moment_of(created_at - created_at % 1000)
    kept: list[Approval] = []
    early: list[Approval] = []
    for approval in approvals:
        given = moment(approval.at)
        timely = given and present and registered and registered <= given <= present
        (kept if timely else early).append(approval)
    return tuple(kept), tuple(early)


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
    names = [author.strip(), _identity(author), *(name for name in re.split(r"[\s<>,]+", author) if "@" in name)]
    return [*names, *(f"@{found[1]}" for name in names if (found := _PRIVATE.fullmatch(name)))]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
