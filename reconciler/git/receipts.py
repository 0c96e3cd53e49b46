"""
The receipts of applies, on the git remote or, where there is none, in the repository itself.

`refs/reconciler/receipts` points to a chain of commits without files; the message of each is a receipt. On the remote
it only ever moves forward: a push succeeds only if the ref still has the value that we saw, and whoever is overtaken
puts their receipt behind the newer one and tries again. In the clone, the same ref is what the remote is known to have,
and behind that what could not be pushed yet; `SEEN` is where the first part ends.

To prune, the ref is moved to a chain with a new beginning, in the same way: by compare-and-swap, with all that others
have pushed by then behind it. Those who have seen the chain before remember its end under `LOST`, until they see that
the pruning counts.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from secrets import SystemRandom

from reconciler.core.chain import Chain, Link, Pruning, Stored, behind, carried_on, digest_of, signed_bytes
from reconciler.core.limits import RECEIPT_BYTES
from reconciler.core.moments import moment
from reconciler.core.names import Commit
from reconciler.core.text import amount
from reconciler.errors import Failure, ReconcilerError, contained
from reconciler.git.ancestry import NEAR
from reconciler.git.remote_ref import RemoteRef
from reconciler.git.runner import Git, parents_of
from reconciler.ports import Appended, SignRecord

RECEIPTS = "refs/reconciler/receipts"
SEEN = "refs/reconciler/receipts-seen"
LOST = "refs/reconciler/receipts-lost"
_ROOTED = "refs/reconciler/receipts-pruned"

_LONGEST = RECEIPT_BYTES + 4096
_TRIES = 60
_REFUSALS = 4
_CHANGES = 5


class _PushError(ReconcilerError):
    """What the remote has could not be read or changed."""


class _RefusedError(_PushError):
    """The remote was reached, and refused a change that nobody else was faster with."""


@dataclass(frozen=True, slots=True)
class _Remote(RemoteRef):
    def fault(self, message: str, *, refused: bool = False) -> ReconcilerError:
        fix = (
            "Receipts need a remote that can be reached and that this job may push to (on GitHub: `permissions: "
            "contents: write`, and no rule that guards refs/reconciler/)."
        )
        return _RefusedError(message, fix) if refused else _PushError(message, fix)


@dataclass(frozen=True, slots=True)
class _Refs:
    """Where the chain in the clone ends, where what was seen on the remote does, and ends that are lost there."""

    tip: str
    seen: str
    lost: tuple[str, ...]


@dataclass(slots=True)
class _Swaps:
    """Pushes of the ref by compare-and-swap, a few of which the remote may refuse though nobody else was faster."""

    remote: _Remote
    refusals: int = 0

    def made(self, before: str, after: str) -> bool:
        """Whether the ref has moved. Raises `_RefusedError` where the remote refuses too often."""
        try:
            return self.remote.swap(before, after) == after
        except _RefusedError:
            self.refusals += 1
            if self.refusals == _REFUSALS:
                raise
            return False


@dataclass(frozen=True, slots=True)
class GitReceipts:
    """
    The chain of a repository: on `remote`, a name or URL as `git` knows it; in the repository where it is None.
    `local`: nobody applies to the registry from elsewhere, so that a receipt in this clone alone is kept, too.
    """

    git: Git
    remote: str | None
    local: bool = False
    timeout: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    _chance: SystemRandom = field(default_factory=SystemRandom, repr=False, compare=False)

    @property
    def place(self) -> str:
        return f"{RECEIPTS} of {self.git.top}" if self.remote is None else self._ref().place

    def append(self, link: Link, sign: SignRecord | None) -> Appended:
        """
        Keep a receipt at the end of the chain. Raises ReconcilerError where it is nowhere. What it is put behind is not
        verified: whoever calls this can tell best what is worth a warning.
        """
        if len(link.text) > RECEIPT_BYTES:
            raise ReconcilerError(f"The receipt has more than {RECEIPT_BYTES // 1024**2} MiB.")
        # First here: whatever ends the push, it is on disk.
        kept = contained(lambda: self._keep_here(link, sign))
        if self.remote is None:
            if isinstance(kept, Failure):
                raise ReconcilerError(kept.why)
            return Appended(behind=self._one(kept[0]))
        try:
            _, there = self._pushed((link,), sign) if isinstance(kept, Failure) else self._pushed((), sign, kept[1])
        except ReconcilerError as error:
            if isinstance(kept, Failure):
                raise ReconcilerError(f"{kept.why} {error.message}", error.fix) from error
            return Appended(str(error), self._one(kept[0]))
        return Appended(behind=self._one(there))

    def _one(self, commit: str) -> Stored | None:
        return self._stored([commit])[0] if commit else None

    def push(self, sign: SignRecord | None) -> int:
        """Push what is in this clone alone, and say how many receipts that were. Raises ReconcilerError."""
        if self.remote is None:
            return 0
        return self._pushed((), sign)[0]

    def prune(self, pruning: Pruning, sign: SignRecord | None) -> int:
        """
        Put a pruning in the place of what it names, with all that is kept behind that, and say how many receipts these
        are. Raises ReconcilerError where the chain does not have what is to be pruned, and where the ref cannot be
        moved.
        """
        swaps = None if self.remote is None else _Swaps(self._ref().found())
        for _ in self._turns():
            refs = self._refs()
            there = refs.tip if swaps is None else self._fetched(swaps.remote)
            kept = behind(self._chain(there, ()), pruning)
            waiting = [] if swaps is None else self._waiting(refs, there)
            value = self._committed(self._rooted(pruning, kept), waiting, sign)
            if swaps is None:
                if self._set({RECEIPTS: (refs.tip, value)}):
                    return len(kept)
                continue
            if swaps.made(there, value):
                self._remember(refs, value, lost=())
                return len(kept) + len(waiting)
        raise ReconcilerError(f"{self.place} was changed by others each of {_TRIES} times that we tried to prune it.")

    def read(self, counts: Callable[[Pruning], bool] = lambda _: False) -> Chain:
        """
        All that is kept, with what is in this clone alone at its end. A pruning that `counts` is no loss of what this
        clone has seen.
        """
        refs = self._refs()
        if self.remote is None:
            return self._chain(refs.tip, ())
        try:
            remote = self._ref().found()
            there = self._fetched(remote)
        except ReconcilerError as error:
            return self._chain(refs.tip, (), untold=str(error), unpushed=len(self._between(refs.seen, refs.tip)))
        waiting = self._waiting(refs, there)
        chain = self._chain(there, waiting)
        gone = self._lost(refs, there)
        counted = bool(gone) and chain.pruned is not None and counts(chain.pruned)
        pruned = {end for end in gone if counted and carried_on(self._chain(end, ()), chain)}
        lost = tuple(end for end in gone if end not in pruned)
        if not waiting and there:
            # As a fetch does; a clone that cannot be written to is read all the same.
            self._remember(refs, there, lost, pruned)
        return replace(chain, lost=lost)

    def _turns(self) -> Iterator[None]:
        """One try after the other, with pauses that grow, so that several who push at once do not meet again."""
        for number in range(_TRIES):
            if number:
                self.sleep(self._chance.uniform(0.02, min(0.1 * number, 1.0)))
            yield

    def _ref(self) -> _Remote:
        return _Remote(self.git, self.remote or "", RECEIPTS, self.timeout)

    def _fetched(self, remote: _Remote) -> str:
        """Where the chain on the remote ends, with all of it in the clone; empty where there is none."""
        for _ in range(_CHANGES):
            value = remote.value()
            if not value or self.git.about(value) is not None:
                return value
            remote.fetch()
            if self.git.about(value) is not None:
                return value
        raise remote.fault(f"{RECEIPTS} could not be read: what it points to is not there to be fetched.")

    def _pushed(self, more: Sequence[Link], sign: SignRecord | None, here: _Refs | None = None) -> tuple[int, str]:
        """
        Push what waits here, and some more behind it; how many that were, and behind which commit they are. `here` are
        the clone's refs as they were a moment ago: whoever changed them since is found out when they are changed again.
        """
        remote = self._ref().found()
        swaps = _Swaps(remote)
        for _ in self._turns():
            there = self._fetched(remote)
            refs, here = here or self._refs(), None
            links = [*self._waiting(refs, there), *more]
            lost = self._lost(refs, there)
            if not links:
                if there and not self._remember(refs, there, lost):
                    continue
                return 0, there
            if sign is None and there != refs.seen and any(link.seal for link in links):
                raise ReconcilerError(
                    f"{amount(len(links), 'receipt')} in this clone must be signed anew: others were pushed before.",
                    "Pass --signing-key, or set RECONCILER_SIGNING_KEY.",
                )
            value = self._committed(there, links, sign, here=refs.tip)
            if swaps.made(there, value):
                # Where somebody else in this clone was faster, what they added waits for the next push.
                self._remember(refs, value, lost)
                return len(links), there
        raise remote.fault(f"{RECEIPTS} was changed by others each of {_TRIES} times that we tried to push to it.")

    def _keep_here(self, link: Link, sign: SignRecord | None) -> tuple[str, _Refs]:
        """Keep it in this clone, and say behind which commit, and what the refs are now."""
        for _ in range(_TRIES):
            refs = self._refs()
            value = self._committed(refs.tip, (link,), sign)
            if self._set({RECEIPTS: (refs.tip, value)}):
                return refs.tip, replace(refs, tip=value)
            self.sleep(self._chance.uniform(0.01, 0.1))
        raise ReconcilerError(f"{RECEIPTS} of {self.git.top} could not be changed.", "Is the repository read-only?")

    def _committed(self, tip: str, links: Iterable[Link], sign: SignRecord | None, here: str = "") -> str:
        """
        The end of a chain with these behind it: commits that no ref leads to yet, or the chain `here` if it is that.
        """
        ref = self._ref()
        number, digest = self._end(tip)
        placed: list[Link] = []
        for link in links:
            one = link.behind(number, digest)
            placed.append(one if sign is None else _sealed(one, sign))
            number, digest = placed[-1].sequence, digest_of(placed[-1].text)
        texts = [one.text for one in placed]
        kept = self._stored(self._between(tip, here))
        if kept and [one.text for one in kept] == texts and kept[0].parents == ((tip,) if tip else ()):
            return here
        for text in texts:
            tip = ref.commit(text.encode("ascii"), [tip] if tip else [])
        return tip

    def _end(self, tip: str) -> tuple[int, str]:
        """The number and the digest of the last link; what is damaged counts as one."""
        further = 0
        digest = ""
        while tip:
            (stored,) = self._stored([tip])
            digest = digest or digest_of(stored.text)
            if stored.link is not None:
                return stored.link.sequence + further, digest
            if stored.pruning is not None:
                return stored.pruning.count + further, digest if further else stored.pruning.digest
            further += 1
            tip = stored.parents[0] if stored.parents and self.git.about(stored.parents[0]) else ""
        return further, digest

    def _waiting(self, refs: _Refs, there: str) -> list[Link]:
        """What is in this clone alone, oldest first."""
        here = self._stored(self._between(refs.seen, refs.tip))
        if not here:
            return []
        known = {one.link.id for one in self._stored(self._between(refs.seen, there)) if one.link}
        links = [one.link for one in here if one.link is not None]
        return [link for link in links if link.id not in known]

    def _lost(self, refs: _Refs, there: str) -> tuple[Commit, ...]:
        """The ends of chains that were seen on the remote and that are no part of what is there now."""
        return tuple(
            Commit(value)
            for value in [*(value for value in refs.lost if value != refs.seen), *([refs.seen] if refs.seen else [])]
            if value != there
            and (not there or self.git.read("merge-base", "--is-ancestor", value, there, may_fail=True).code != 0)
        )

    def _remember(self, refs: _Refs, value: str, lost: Sequence[Commit], pruned: Collection[Commit] = ()) -> bool:
        """
        That the remote has this, and that nothing waits; False where the clone is not as we saw it. What was `pruned`
        there is kept no longer here.
        """
        seen = refs.seen
        changes = {RECEIPTS: (refs.tip, value), SEEN: (seen, value)}
        changes |= {f"{LOST}/{end[:12]}": (end, "") for end in pruned if end != seen}
        changes |= {f"{LOST}/{seen[:12]}": ("", seen) for end in lost if end == seen}
        changes = {ref: (before, after) for ref, (before, after) in changes.items() if before != after}
        return not changes or self._set(changes)

    def _set(self, changes: dict[str, tuple[str, str]]) -> bool:
        """Change refs of the clone, all or none, each only if it is as we saw it."""
        lines = [
            f"update {ref} {after} {before or '0' * len(after)}\n" if after else f"delete {ref} {before}\n"
            for ref, (before, after) in changes.items()
        ]
        return self.git.read("update-ref", "--stdin", stdin="".join(lines).encode(), may_fail=True).code == 0

    def _refs(self) -> _Refs:
        listed = self.git.read("for-each-ref", "--format=%(objectname) %(refname)", RECEIPTS, SEEN, LOST).text
        values = {ref: value for value, _, ref in (line.partition(" ") for line in listed.splitlines())}
        lost = tuple(value for ref, value in values.items() if ref.startswith(f"{LOST}/"))
        return _Refs(values.get(RECEIPTS, ""), values.get(SEEN, ""), lost)

    def _between(self, seen: str, tip: str) -> list[str]:
        """The commits up to a tip that are not up to another one, oldest first."""
        if not tip or seen == tip:
            return []
        if (near := self._near(seen, tip)) is not None:
            return near
        without = [f"^{seen}"] if seen else []
        listed = self.git.read("rev-list", "--first-parent", "--reverse", tip, *without, "--", may_fail=True)
        return listed.text.split() if listed.code == 0 else []

    def _near(self, seen: str, tip: str) -> list[str] | None:
        """The same where it is few, which are read anyway; None where git must tell."""
        found: list[str] = []
        one = tip
        while one != seen:
            about = self.git.about(one)
            if about is None or about[2] > _LONGEST or len(found) == NEAR:
                return None
            found.append(one)
            parents = self.git.parents(one)
            if parents is None or (not parents and seen):
                return None
            one = parents[0] if parents else ""
        return found[::-1]

    def _chain(self, tip: str, waiting: Sequence[Link], *, untold: str = "", unpushed: int = 0) -> Chain:
        stored = self._stored(self._between("", tip))
        first = stored[0].parents if stored else ()
        pruned = stored[0].pruning if stored else None
        number, digest = self._end(tip) if waiting else (0, "")
        more: list[Stored] = []
        for link in waiting:
            placed = link.behind(number, digest)
            number, digest = placed.sequence, digest_of(placed.text)
            more.append(Stored(Commit(""), placed.text, ()))
        kept = (*(stored[1:] if pruned else stored), *more)
        return Chain(self.place, kept, bool(first), unpushed or len(more), (), untold, pruned)

    def _rooted(self, pruning: Pruning, kept: Iterable[Stored]) -> str:
        """The end of a chain with a new beginning: commits that no ref leads to."""
        stream = bytearray()
        texts = [(pruning.text, pruning.at), *((one.text, one.link.at if one.link else pruning.at) for one in kept)]
        for mark, (text, at) in enumerate(texts, 1):
            message = f"{text}\n".encode("utf-8", "surrogateescape")
            when = moment(at)
            time = int(when.timestamp()) if when is not None else 0
            head = f"commit {_ROOTED}\nmark :{mark}\ncommitter reconciler <reconciler@localhost> {max(time, 0)} +0000\n"
            parent = f"from :{mark - 1}\n" if mark > 1 else ""
            stream += f"{head}data {len(message)}\n".encode() + message + f"\n{parent}".encode()
        stream += f"get-mark :{len(texts)}\n".encode()
        value = self.git.read("fast-import", "--quiet", "--force", stdin=bytes(stream)).text
        self.git.read("update-ref", "-d", _ROOTED)
        return value

    def _stored(self, commits: Sequence[str]) -> tuple[Stored, ...]:
        """The commits as git has them, with the parents that they name themselves, whatever the clone lacks."""
        found: list[Stored] = []
        for name, data in self.git.many(commits, "commit", _LONGEST, may_lack=True):
            _, _, message = (data or b"").partition(b"\n\n")
            parents = tuple(map(Commit, parents_of(name, data or b"") or ()))
            text = message.decode("utf-8", "surrogateescape").removesuffix("\n")
            found.append(Stored(Commit(name), text, parents))
        return tuple(found)


def _sealed(link: Link, sign: SignRecord) -> Link:
    return link if link.seal is not None else replace(link, seal=sign(signed_bytes(link)))
