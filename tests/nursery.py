"""
A process that has imported MLflow's server, and that servers are forked from: to import it takes five times as long as
to serve. It reads a line of JSON for each, says the server's process id, and ends with its input.
"""

import gc
import json
import os
import runpy
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def serve(arguments: list[str], folder: str, environment: dict[str, str], log: str) -> None:
    """All that `mlflow server` does, in one process: where it would start a server, this one becomes it."""
    import mlflow.server
    from mlflow.cli import cli

    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for stream, opened in ((0, os.open(os.devnull, os.O_RDONLY)), (1, os.open(log, os.O_WRONLY | os.O_APPEND))):
        os.dup2(opened, stream)
    os.dup2(1, 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)

    def become(command: list[str], extra_env: dict[str, str], **_options: Any) -> None:
        _python, _m, module, *options = command
        os.environ.update(extra_env)
        if module == "gunicorn":
            # Its workers must not share the connections to the database that are open in here.
            os.execv(sys.executable, command)  # noqa: S606  # no shell is meant
        sys.argv = [module, *options]
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    server: Any = mlflow.server
    server._exec_cmd = become
    cli(["server", *arguments])


def main() -> None:
    gc.disable()
    # MLflow protects its server where it finds one of these imported before itself, as it is where that is started.
    for module in ("uvicorn", "mlflow.server.fastapi_app", "mlflow.cli"):
        import_module(module)
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        wanted = json.loads(line)
        pid = os.fork()
        if pid == 0:
            Path(wanted["log"]).touch()
            serve(**wanted)
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
