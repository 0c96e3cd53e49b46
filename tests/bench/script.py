"""The script that people write without us: ask for each model's slots, and compare. `script.py URI MANIFEST ...`."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


def differences(uri: str, manifests: Iterable[Path]) -> list[str]:
    """The slots that are not as declared."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(registry_uri=uri, tracking_uri=uri)
    found: list[str] = []
    for path in manifests:
        declared: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        name: str = declared["model"]
        latest: Any = client.get_latest_versions(name, stages=["Staging", "Production"])
        live: dict[str, int] = {version.current_stage: int(version.version) for version in latest}
        try:
            live["champion"] = int(client.get_model_version_by_alias(name, "champion").version)
        except MlflowException:
            live["champion"] = 0
        for slot, version in {**declared["stages"], **declared["aliases"]}.items():
            if live.get(slot) != version:
                found.append(f"{name} {slot}: {live.get(slot)} -> {version}")
    return found


if __name__ == "__main__":
    for line in differences(sys.argv[1], [Path(name) for name in sys.argv[2:]]):
        print(line)
