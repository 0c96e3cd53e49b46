"""Who approved a change: signed commits, and the reviews of the forge whose job this is."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from reconciler.core.desired import Declared, Hold, Manifest, Pin, resolve
from reconciler.core.gate import Guard, Override
from reconciler.core.names import Commit, ModelName
from reconciler.errors import Location, ReconcilerError, Severity
from reconciler.ports import Forge, ManifestParser, Reviews

if TYPE_CHECKING:
    from reconciler.adapters.git_source import GitSource


@dataclass(frozen=True, slots=True)
class GitAndForge:
    """The port `Reviewers`. Without a forge, signed commits alone can approve."""

    source: "GitSource"
    parse: ManifestParser
    forge: Forge | None = None

    def find(self, base: Commit | None, head: Commit, model: ModelName, signers: str) -> Reviews:
        """
        What was approved is what a model's manifest says, wherever it stands: an approval of an earlier declaration
        does not count for a later one, and a merge or a moved line takes none away.
        """
        from reconciler.adapters.git_approvals import authors, signed_approvals

        if base is None:
            raise ReconcilerError("there is no commit before this change, so nobody can have reviewed it")
        meant = self._declared(head, model)
        wrote = authors(self.source.top, base, head)
        if meant is None:
            return Reviews((), wrote)

        def same(commit: Commit) -> bool:
            return self._declared(commit, model) == meant

        signed = signed_approvals(self.source.top, base, head, signers, same)
        if self.forge is None:
            return Reviews(signed, wrote)
        reviewed = self.forge.approvals(head)
        wrote = tuple(dict.fromkeys((*wrote, *reviewed.authors)))
        if reviewed.head is not None and reviewed.approvals:
            # After a squash it is on no branch any more; to ask how it stands to ours fetches it.
            self.source.relation(reviewed.head, head)
            if not same(reviewed.head):
                return Reviews(signed, wrote)
        return Reviews((*signed, *reviewed.approvals), wrote)

    def _declared(self, commit: Commit, model: ModelName) -> Manifest | None:
        """What a commit declares of a model, whatever the places it is declared in."""
        checkout = self.source.read(commit)
        fragments, problems = self.parse(checkout.files)
        models, contradictions = resolve(fragments)
        if any(p.severity is Severity.ERROR for p in (*checkout.problems, *problems, *contradictions)):
            return None
        manifest = models.get(model)
        return None if manifest is None else without_places(manifest)


NOWHERE = Location("")


def without_places(manifest: Manifest) -> Manifest:
    """The same declaration, with every place the same: equal ones ask for the same."""
    return cast(Manifest, _placeless(manifest))


def _placeless(value: Any) -> Any:
    match value:
        case Manifest():
            fields = ("model", "description", "owners", "tags", "stages", "aliases", "gates", "overrides", "holds")
            return replace(value, **{name: _placeless(getattr(value, name)) for name in fields})
        case Declared():
            return Declared(_placeless(cast("Declared[Any]", value).value), NOWHERE)
        case Pin() | Guard() | Override() | Hold():
            return replace(value, at=NOWHERE)
        case tuple():
            return tuple(_placeless(item) for item in cast("tuple[Any, ...]", value))
        case dict():
            return {key: _placeless(item) for key, item in cast("dict[Any, Any]", value).items()}
        case _:
            return value
