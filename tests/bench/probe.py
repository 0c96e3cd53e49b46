"""
One measured process: `probe.py RESULT COMMAND ...` writes what it found to the file RESULT, as JSON. Heavy imports are
done before the clock starts, so that `seconds` is the work itself; the one who waits for the process sees the whole.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any, TypeAlias

Sent: TypeAlias = dict[str, Any]


def recorded() -> list[Sent]:
    """From now on, every request that any `requests.Session` sends, in the order in which they are sent."""
    import requests

    sent: list[Sent] = []
    send: Callable[..., requests.Response] = requests.Session.send

    def noting(session: requests.Session, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        body = request.body.decode() if isinstance(request.body, bytes) else request.body
        entry: Sent = {"method": request.method, "url": request.url, "body": body, "began": time.perf_counter()}
        sent.append(entry)
        response = send(session, request, **options)
        entry.update(ended=time.perf_counter(), bytes=len(response.content))
        return response

    requests.Session.send = noting  # pyright: ignore[reportAttributeAccessIssue]  # `self` has another name
    return sent


def import_beforehand() -> None:
    """All that a command would import on its way."""
    import reconciler

    for module in walk_packages(reconciler.__path__, "reconciler."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    from reconciler.registry.mlflow import MlflowRegistry

    # Imports MLflow in the way in which the command does, and asks for nothing.
    _ = MlflowRegistry("http://127.0.0.1:1", "http://127.0.0.1:1").store
    # Before its first request, MLflow imports what may have headers to add: IPython, where that is installed.
    import_module("mlflow.tracking.request_header.registry").resolve_request_headers()


def run_reconciler(arguments: Sequence[str]) -> dict[str, Any]:
    """Any command of `reconciler`."""
    import_beforehand()
    from reconciler import cli

    sent = recorded()
    start = time.perf_counter()
    code = cli.run(list(arguments))
    return {"seconds": time.perf_counter() - start, "code": code, "sent": sent}


def run_offline(arguments: Sequence[str]) -> dict[str, Any]:
    """A command that needs no registry, and whether it imported MLflow."""
    from reconciler import cli

    return {"code": cli.run(list(arguments)), "mlflow": "mlflow" in sys.modules}


def replay(requests_file: str, threads: str) -> dict[str, Any]:
    """The same requests with nothing around them. Each of several threads takes its share, in order."""
    import requests

    groups: list[list[Sent]] = json.loads(Path(requests_file).read_text(encoding="utf-8"))

    def send(group: list[Sent], session: requests.Session) -> int:
        size = 0
        for entry in group:
            headers = {"Content-Type": "application/json"} if entry["body"] else None
            response = session.request(entry["method"], entry["url"], data=entry["body"], headers=headers)
            response.raise_for_status()
            size += len(response.content)
            re.search(rb'"next_page_token": "([^"]+)"', response.content[-400:])
        return size

    def send_share(share: list[list[Sent]]) -> int:
        session = requests.Session()
        return sum(send(group, session) for group in share)

    number = int(threads)
    start = time.perf_counter()
    if number == 1:
        size = send_share(groups)
    else:
        with ThreadPoolExecutor(number) as pool:
            size = sum(pool.map(send_share, (groups[first::number] for first in range(number))))
    return {"seconds": time.perf_counter() - start, "bytes": size}


def run_script(uri: str, manifests: str, every: str) -> dict[str, Any]:
    """The loop of `script.py`, over every n-th manifest."""
    import_module("mlflow")
    from tests.bench import script

    sent = recorded()
    start = time.perf_counter()
    different = script.differences(uri, sorted(Path(manifests).glob("*.yaml"))[:: int(every)])
    return {"seconds": time.perf_counter() - start, "different": different, "requests": len(sent)}


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    "reconciler": lambda *arguments: run_reconciler(arguments),
    "offline": lambda *arguments: run_offline(arguments),
    "replay": replay,
    "script": run_script,
}

if __name__ == "__main__":
    found = COMMANDS[sys.argv[2]](*sys.argv[3:])
    Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
