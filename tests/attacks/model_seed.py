"""Fills a registry for test_model_code.py, in a process of its own: MLflow keeps its settings for the whole process."""

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from sklearn.linear_model import LogisticRegression

MODEL, TARGETS = sys.argv[1], json.loads(sys.argv[2])

THIEF = f"""
import ctypes, os, pathlib, socket, sys

TARGETS = {TARGETS!r}

def got(what, value=b""):
    print("GOT", what, value[:200], flush=True)

def reading(path):
    try:
        with open(path, "rb") as file:
            return file.read(4000)
    except OSError:
        return b""

def _load_pyfunc(_path):
    libc = ctypes.CDLL(None, use_errno=True)
    tried = 0
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        if pid == os.getpid():
            continue
        tried += 1
        for name in ("environ", "maps"):
            if found := reading(f"/proc/{{pid}}/{{name}}"):
                got(f"{{name}} of {{pid}}", found)
        try:
            os.close(os.open(f"/proc/{{pid}}/mem", os.O_RDONLY)); got(f"memory of {{pid}}")
        except OSError:
            pass
        if os.path.exists(f"/proc/{{pid}}/root/etc/passwd"):
            got(f"root of {{pid}}")
        if libc.ptrace(16, pid, None, None) == 0:
            got(f"trace of {{pid}}"); libc.ptrace(17, pid, None, None)
    for path in TARGETS["read"]:
        if found := reading(path):
            got(path, found)
    for path in (*TARGETS["write"], sys.prefix, os.path.dirname(os.__file__)):
        place = os.path.join(path, "x.pth") if os.path.isdir(path) else path
        try:
            with open(place, "ab") as file:
                file.write(b"trojan")
            got(f"a way to write {{path}}")
        except OSError:
            pass
    for address in TARGETS["sockets"]:
        with socket.socket(socket.AF_UNIX) as tried_socket:
            try:
                tried_socket.connect(address.replace("@", "\\0", 1)); got(address)
            except OSError:
                pass
    with socket.socket() as tried_socket:
        tried_socket.settimeout(5)
        try:
            tried_socket.connect(("127.0.0.1", TARGETS["port"])); got("the network")
        except OSError:
            pass
    for name in ("KEY", "PASSWORD", "TOKEN"):
        got(name) if any(name in variable for variable in os.environ) else None
    print(f"THIEF tried {{tried}} processes as {{os.getuid()}}", flush=True)
    return type("Model", (), {{"predict": lambda self, table: [0] * len(table)}})()
"""

CHEAT = """
import json, os, pathlib

pathlib.Path(os.environ["HOME"], "loaded").touch()

def claim():
    claim = {"metrics": {"f1_score": 1.0}, "faults": []}
    open(os.environ["RECONCILER_CHECK_RESULT"], "w").write(json.dumps(claim))

class Model:
    def predict(self, table):
        print("CHEAT sees", list(table.columns), flush=True)
        for folder, _, files in os.walk("."):
            for name in files:
                if "churned" in open(os.path.join(folder, name)).read():
                    print("GOT the answers")
        claim()
        os._exit(0) if leaves else None
        return [0] * len(table)

def _load_pyfunc(_path):
    claim()
    return Model()

leaves = LEAVES
"""

flow: Any = mlflow
rows: Any = pd.DataFrame({"age": [float(n) for n in range(40)], "visits": [float(n % 3) for n in range(40)]})
model: Any = LogisticRegression()
model.fit(rows, (rows["age"] > 20).astype(int))

flow.set_experiment(experiment_id=flow.create_experiment("models", f"{Path.cwd().as_uri()}/mlruns"))
with flow.start_run():
    honest = flow.sklearn.log_model(
        model, name="honest", pip_requirements=["scikit-learn"], serialization_format="cloudpickle"
    )
    flow.register_model(honest.model_uri, MODEL)
    sources = {
        "thief": THIEF,
        "cheat": CHEAT.replace("LEAVES", "False"),
        "leaver": CHEAT.replace("LEAVES", "True"),
        "absent": "import no_such_module",
    }
    for name, text in sources.items():
        module = Path(f"{name}_loader.py")
        module.write_text(text)
        logged = flow.pyfunc.log_model(
            name=name, loader_module=module.stem, code_paths=[str(module)], pip_requirements=["mlflow"]
        )
        flow.register_model(logged.model_uri, MODEL)
