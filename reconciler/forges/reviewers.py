"""Who approved a change: signed commits, and the reviews of the forge whose job this is."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.core.approval import is_bot
from reconciler.core.desired import Manifest, resolve
from reconciler.core.gate import Approval
from reconciler.core.names import Commit, ModelRef
from reconciler.errors import ReconcilerError, Severity, placeless
from reconciler.ports import Forge, ManifestParser, Push, Relation, Request, Reviews

if TYPE_CHECKING:
    from reconciler.git.approvals import Change
    from reconciler.git.source import GitSource


MOST_TOGETHER = 50
"""Of more commits that came to an apply at once, the forge is not asked which are of one request."""


@dataclass(frozen=True, slots=True)
class GitAndForge:
    """
    The port `Reviewers`. Without a forge, signed commits alone can approve. Everything is looked up once. What reads
    the manifests of a commit is for that commit alone: its own policy says what its stages are.
    """

    source: "GitSource"
    parser: Callable[[Commit], ManifestParser]
    forge: Forge | None = None
    _manifests: dict[Commit, Mapping[ModelRef, Manifest]] = field(
        default_factory=dict[Commit, Mapping[ModelRef, Manifest]], init=False, repr=False
    )
    _changes: dict[tuple[object, ...], "tuple[Change, Request | None]"] = field(
        default_factory=dict[tuple[object, ...], "tuple[Change, Request | None]"], init=False, repr=False
    )

    _requests: dict[Commit, Request | None] = field(
        default_factory=dict[Commit, Request | None], init=False, repr=False
    )
    _bases: dict[tuple[Commit, Commit], Commit] = field(
        default_factory=dict[tuple[Commit, Commit], Commit], init=False, repr=False
    )

    def find(self, base: Commit | None, head: Commit, model: ModelRef | None, signers: str) -> Reviews:
        """
        What was approved is what a model's manifest says, wherever it stands: an approval counts for as long as no
        later commit of the request says something else, and a merge or a moved line takes none away.
        """
        if base is None:
            raise ReconcilerError("there is no commit before this change, so it was not reviewed")
        if (base, head) not in self._bases:
            self._bases[base, head] = self._own_base(base, head)
        base = self._bases[base, head]
        change, request = self._change(base, head, signers)
        if model is None:
            given = (*change.approvals, *(request.approvals if request else ()))
            return _reviews((approval for approval in given if approval.commit in change.valid), change, request)
        meant = self._declared(head, model)

        def same(commit: Commit) -> bool:
            return meant is not None and self._declared(commit, model) == meant

        signed = {approval.commit for approval in change.approvals}
        standing = frozenset(_unbroken(change.line, signed, same))
        approvals = [approval for approval in change.approvals if approval.commit in standing]
        if request is not None and same(request.head):
            # Where its branch began, the request had not brought it yet; else what was reviewed is something else.
            began = next((commit for commit in change.reviewed if commit not in request.makers), base)
            if not same(began):
                approvals += (a for a in request.approvals if a.commit in change.valid and same(Commit(a.commit or "")))
        return _reviews(approvals, change, request)

    def _own_base(self, base: Commit, head: Commit) -> Commit:
        """
        The commit that the request of `head` came on top of: what came to an apply with it and is another request's, by
        the forge's word, is no part of it.
        """
        request = self._request(head)
        if request is None or request.merged_as is None:
            return base
        line = tuple(self.source.line(head, (base,), MOST_TOGETHER + 1))
        others = () if len(line) > MOST_TOGETHER else reversed(line[1:])
        for commit in others:
            other = self.forge.request(commit, merged=True) if self.forge else None
            if other is None or other.merged_as is None or other.head == request.head:
                break
            base = commit
        return base

    def _change(self, base: Commit, head: Commit, signers: str) -> "tuple[Change, Request | None]":
        from reconciler.git.approvals import read_change

        key = (base, head, signers)
        if key not in self._changes:
            request = self._request(head)
            if request is None:
                self._changes[key] = read_change(self.source.git, base, head, signers), None
            else:
                earlier = {approval.commit for approval in request.approvals if approval.commit is not None}
                for commit in sorted(earlier):
                    # After a squash they are on no branch anymore; to ask for them fetches them.
                    self.source.stored(commit)
                change = read_change(
                    self.source.git,
                    base,
                    head,
                    signers,
                    tip=request.head,
                    merged_as=request.merged_as,
                    earlier=earlier,
                )
                self._changes[key] = change, request
        return self._changes[key]

    def _request(self, head: Commit) -> Request | None:
        """The request of a commit: the one that the job runs for if it is in the commit, or the one that became it."""
        if head not in self._requests:
            self._requests[head] = self._asked(head)
        return self._requests[head]

    def _asked(self, head: Commit) -> Request | None:
        request = None if self.forge is None else self.forge.request(head)
        if self.forge is None or request is None:
            return None
        if request.merged_as:
            # It may be on no branch anymore, as those are that reviews were given to.
            self.source.stored(request.head)
            return request
        contained = self.source.relation(request.head, head) in {Relation.SAME, Relation.ANCESTOR}
        return request if contained else self.forge.request(head, merged=True)

    def _declared(self, commit: Commit, model: ModelRef) -> Manifest | None:
        """What a commit declares of a model, whatever the places it is declared in."""
        if commit not in self._manifests:
            checkout = self.source.read(commit)
            fragments, problems = self.parser(commit)(checkout.files)
            models, contradictions = resolve(fragments)
            wrong = any(p.severity is Severity.ERROR for p in (*checkout.problems, *problems, *contradictions))
            self._manifests[commit] = {} if wrong else models
        manifest = self._manifests[commit].get(model)
        return None if manifest is None else placeless(manifest)


def _unbroken(line: Iterable[Commit], given: Set[Commit | None], same: Callable[[Commit], bool]) -> Iterator[Commit]:
    """The commits of a line from its newest on, as far as each declares the same, and approvals are to come."""
    left = set(given)
    for commit in line:
        if not left or not same(commit):
            return
        left.discard(commit)
        yield commit


def _reviews(approvals: Iterable[Approval], change: "Change", request: Request | None) -> Reviews:
    """The approvals, with everybody who had a hand in the change by git's word and by the forge's."""
    approvals = tuple(approvals)
    authors = {name for names in change.hands.values() for name in names}
    people = set(change.people)
    if request is None:
        bots = bool(authors) and not change.signed and all(map(is_bot, authors))
        return Reviews(approvals, tuple(sorted(authors)), tuple(sorted(people)), bots)
    pushed = {push.who for push in request.pushes if _changed_something(push, change)}
    seen = {*pushed, *([request.opened_by] if request.opened_by else [])}
    for commit, names in request.makers.items():
        if commit not in change.idle:
            authors.update(names)
    for approval in approvals:
        # Whoever signs under an address, is known to the forge by it.
        names = request.makers.get(approval.commit, ()) if approval.commit is not None else ()
        if names and not approval.who.startswith("@"):
            people.add(" ".join((approval.who, *names)))
    # A commit says itself who wrote it; who opened and pushed the request, the forge knows.
    bots = bool(seen) and not change.signed and all(map(is_bot, seen))
    return Reviews(approvals, tuple(sorted(authors | seen)), tuple(sorted(people)), bots)


def _changed_something(push: Push, change: "Change") -> bool:
    """Whether a push may have brought a commit that changes something: it is not certain that all change nothing."""
    return not push.commits or any(
        any(made.startswith(name) for made in change.hands) or not any(idle.startswith(name) for idle in change.idle)
        for name in push.commits
    )
