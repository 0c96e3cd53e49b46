"""A registry in memory: the reference for what the calls do, for tests and for plans without a server."""

from dataclasses import dataclass, field
from threading import Lock

from reconciler.core.changes import Change, CreateModel, simulate
from reconciler.core.names import ModelName
from reconciler.core.snapshot import ModelSnapshot, RegistrySnapshot
from reconciler.errors import RegistryError
from reconciler.ports import Wanted


@dataclass(slots=True)
class MemoryRegistry:
    """Passes the same contract tests as MLflow. Calls are atomic, one after the other."""

    models: dict[ModelName, ModelSnapshot] = field(default_factory=dict[ModelName, ModelSnapshot])
    uri: str = "memory://"
    lock: Lock = field(default_factory=Lock)

    def snapshot(self, wanted: Wanted) -> RegistrySnapshot:
        owner = wanted.owned_by
        with self.lock:
            return RegistrySnapshot(
                {
                    name: model
                    for name, model in sorted(self.models.items())
                    if name in wanted.models or (owner is not None and model.owned_by(owner))
                }
            )

    def execute(self, change: Change) -> None:
        with self.lock:
            live = self.models.get(change.model)
            if isinstance(change, CreateModel) and live is not None:
                return
            try:
                self.models[change.model] = simulate(live, change)
            except ValueError as error:
                raise RegistryError("RESOURCE_DOES_NOT_EXIST", f"{error}.") from error
