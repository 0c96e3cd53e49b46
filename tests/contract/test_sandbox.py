"""What a command can do in the sandbox, and what it cannot: with real processes."""

import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from reconciler.checks.reach import secret_names
from reconciler.checks.runner import run_check
from reconciler.checks.sandbox import OPEN, READ_ONLY, Subject, Way, surroundings
from reconciler.core.check_record import CheckOutcome, Ran
from reconciler.core.names import ModelRef, Version
from reconciler.core.policy import Check
from reconciler.errors import Location, ReconcilerError

AT = Location("reconciler.yaml", 5, 3)
OURS: Mapping[str, str] = {
    "PATH": os.environ["PATH"],
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "MLFLOW_TRACKING_USERNAME": "writer",
    "MLFLOW_TRACKING_PASSWORD": "s3cret-write",
    "MLFLOW_TRACKING_TOKEN": "s3cret-token",
    "AWS_SECRET_ACCESS_KEY": "s3cret-aws",
    "GITHUB_TOKEN": "s3cret-github",
    "RECONCILER_CHECK_HMAC_KEY": "s3cret-hmac" * 4,
    "RECONCILER_CHECK_USERNAME": "reader",
    "RECONCILER_CHECK_PASSWORD": "only-reads",
    "BIAS_DATA": "here",
    "WAREHOUSE_PASSWORD": "warehouse-pw",
    "OTHER": "there",
    # Starting pytest takes seconds with all that is installed here.
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}

FAST = ("PYTEST_DISABLE_PLUGIN_AUTOLOAD",)
Run = Callable[..., Ran]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "trusted"
    (tree / "checks").mkdir(parents=True)
    return tree


@pytest.fixture
def run(tmp_path: Path, tree: Path) -> Run:
    """Run a check, by default a Python script out of the trusted tree, on a model of one file."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "MLmodel").write_text("flavors: {}\n")
    subject = Subject(
        ModelRef("churn"), Version(3), files, "https://ada:pw@mlflow.acme.example/ml", "https://mlflow.acme.example/ml"
    )
    # Under pytest's own folder nobody else may look.
    workspaces = iter(tmp_path / f"work{n}" for n in range(9))

    def begin(script: str = "", **options: object) -> Ran:
        (tree / "checks" / "check.py").write_text(script)
        workspace = next(workspaces)
        workspace.mkdir()
        most, way, ours = options.pop("most_output", 65536), options.pop("way", OPEN), options.pop("ours", OURS)
        told: dict[str, object] = {"command": ("python", "checks/check.py"), "timeout": 60.0, **options}
        if "pytest" in told or "notebook" in told or "evaluate" in told:
            told["command"] = ()
        check = Check("bias", AT, **told)  # pyright: ignore[reportArgumentType]
        return run_check(check, tree, subject, workspace, ours, most_output=most, way=way)  # pyright: ignore[reportArgumentType]

    return begin


def log(ran: Ran) -> str:
    return Path(ran.files[0]).read_text(errors="replace")


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_command_passes_and_tells_metrics(run: Run) -> None:
    ran = run(
        "import json, os\n"
        "print('fine')\n"
        "told = {'metrics': {'gap': 0.02, 'n': 3, 'no': 'x', 'yes': True, 'bad\\nname': 1.0}}\n"
        "open(os.environ['RECONCILER_CHECK_RESULT'], 'w').write(json.dumps(told))\n"
    )

    assert (ran.outcome, ran.sentence) == (CheckOutcome.PASSED, "ended with exit code 0; gap 0.02, n 3")
    assert ran.metrics == {"gap": 0.02, "n": 3.0}
    assert ran.ran == "command: python checks/check.py"
    assert log(ran) == "fine\n"


def test_a_command_fails(run: Run) -> None:
    ran = run("import sys\nprint('the gap is 0.3')\nsys.exit(7)")

    assert (ran.outcome, ran.sentence) == (CheckOutcome.FAILED, "ended with exit code 7: the gap is 0.3")


def test_a_command_that_is_killed_fails(run: Run) -> None:
    assert run("import os\nos.kill(os.getpid(), 9)").sentence == "ended with signal 9"


CANNOT_START = {
    "no-such-program": "no-such-program: No such file or directory",
    "checks/check.py": "checks/check.py: Permission denied",
    "python\0": "embedded null byte",
}


@pytest.mark.parametrize(("command", "why"), CANNOT_START.items(), ids=["missing", "not executable", "no name"])
def test_a_command_that_cannot_start(run: Run, command: str, why: str) -> None:
    ran = run(command=(command,))

    assert ran.outcome is CheckOutcome.ERROR
    assert ran.sentence == f"could not run: {why}"


def test_no_shell_reads_a_command(run: Run) -> None:
    assert log(run(command=("echo", "$HOME", ";", "`id`"))) == "$HOME ; `id`\n"


def test_the_time_limit_ends_it_and_its_children(run: Run, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    ran = run(
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(300)']\n"
        "children = [subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)]\n"
        f"open({str(pids)!r}, 'w').write(' '.join(str(c.pid) for c in children))\n"
        "time.sleep(300)\n",
        timeout=1.5,
    )

    assert (ran.outcome, ran.sentence) == (CheckOutcome.TIMEOUT, "did not end within 1.5 s")
    assert not any(is_running(int(pid)) for pid in pids.read_text().split())


def test_what_it_leaves_behind_is_killed(run: Run, tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    ran = run(
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        open({str(pids)!r}, 'w').write(str(os.getpid()))\n"
        "        time.sleep(300)\n"
        "    os._exit(0)\n"
        f"while not os.path.exists({str(pids)!r}) or not open({str(pids)!r}).read(): time.sleep(0.01)\n"
    )

    assert ran.outcome is CheckOutcome.PASSED
    assert ran.notes == ("it left 1 running, which was killed",)
    assert not is_running(int(pids.read_text()))


def test_a_hundred_megabytes_of_output_are_cut(run: Run) -> None:
    ran = run(
        "import os\nos.write(1, b'begin\\n')\nfor _ in range(100): os.write(1, b'x' * 1024 * 1024)\nprint('\\nend')",
        command=("python", "-c", "exec(open('checks/check.py').read())"),
    )

    assert ran.outcome is CheckOutcome.PASSED
    assert log(ran).startswith("begin\nxxx")
    assert log(ran).endswith("xxx\nend\n")
    assert "bytes are left out here" in log(ran)
    assert len(log(ran)) < 150_000


def test_nothing_is_there_to_be_read(run: Run) -> None:
    assert run("import sys\nassert sys.stdin.read() == ''").outcome is CheckOutcome.PASSED


def test_it_starts_with_few_variables_and_no_credentials(run: Run) -> None:
    ran = run("import os, json\nprint(json.dumps(dict(os.environ)))", environment=("BIAS_DATA", "NOT_THERE"))

    said = log(ran)
    assert "s3cret" not in said
    assert '"BIAS_DATA": "here"' in said
    assert "OTHER" not in said
    assert "RECONCILER_CHECK_HMAC_KEY" not in said
    assert '"MLFLOW_TRACKING_USERNAME": "***"' in said
    assert '"MLFLOW_TRACKING_URI": "https://mlflow.acme.example/ml"' in said
    assert '"MODEL_URI": "models:/churn/3"' in said
    assert '"HOME": "/root"' not in said


def test_credentials_that_read_reach_it_and_stay_out_of_the_log(run: Run) -> None:
    ran = run(
        "import os\nassert os.environ['MLFLOW_TRACKING_USERNAME'] == 'reader'\n"
        "assert os.environ['MLFLOW_TRACKING_PASSWORD'] == 'only-reads'\nprint(os.environ['MLFLOW_TRACKING_PASSWORD'])\n"
        "print(os.environ['WAREHOUSE_PASSWORD'])",
        environment=("WAREHOUSE_PASSWORD",),
    )

    assert ran.outcome is CheckOutcome.PASSED
    assert log(ran) == "***\n***\n"


NEVER = (
    *("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "RECONCILER_CHECK_HMAC_KEY"),
    *("SSH_AUTH_SOCK", "LD_PRELOAD", "HOME"),
)


@pytest.mark.parametrize("name", NEVER)
def test_the_policy_cannot_ask_for_our_credentials(name: str, tmp_path: Path) -> None:
    subject = Subject(ModelRef("churn"), Version(3), tmp_path, "http://m", "http://m")
    ours = {key: value for key, value in OURS.items() if key not in READ_ONLY}

    around = surroundings({**ours, name: "s3cret"}, (name,), subject, tmp_path, tmp_path / "result")

    assert around.refused == (name,)
    assert "s3cret" not in around.variables.values()


PARENT = """
import sys, tempfile
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from reconciler.checks.sandbox import Surroundings, run
peeks = '''
import os
pid = os.getppid()
while pid > 1:
    try:
        print(open(f"/proc/{pid}/environ").read())
    except OSError:
        print("no")
    pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
'''
folder = Path(tempfile.mkdtemp())
print(run((sys.executable, "-c", peeks), folder, Surroundings({}), 60, folder / "log"))
print((folder / "log").read_text())
"""


def test_our_own_environment_cannot_be_read(tmp_path: Path) -> None:
    root = os.geteuid() == 0
    python = "/usr/bin/python3" if root else sys.executable
    if root and not Path(python).exists():
        pytest.skip("root may read everything, and there is no Python here that another user may run")

    # Without site-packages: only the standard library is needed, and perhaps nobody else may read them.
    told = subprocess.run(
        [python, "-S", "-s", "-c", PARENT, str(Path(__file__).parents[2])],
        env={**OURS, "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        user="nobody" if root else None,
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert "exit_code=0" in told
    assert "no\n" in told
    assert "s3cret" not in told


def test_each_run_has_a_home_and_files_of_its_own(run: Run, tree: Path) -> None:
    spoil = (
        "import os, pathlib\n"
        "home = pathlib.Path(os.environ['HOME'])\n"
        "assert list(home.iterdir()) == []\n"
        "assert os.environ['TMPDIR'] == str(home)\n"
        "model = pathlib.Path(os.environ['MODEL_PATH'], 'MLmodel')\n"
        "assert model.read_text() == 'flavors: {}\\n'\n"
        "model.write_text('spoiled')\n"
        "(home / 'left').write_text('x')\n"
        "pathlib.Path('checks/left').write_text('x')\n"
    )

    first, second = run(spoil), run(spoil)

    assert (first.outcome, second.outcome) == (CheckOutcome.PASSED, CheckOutcome.PASSED)
    assert sorted(path.name for path in (tree / "checks").iterdir()) == ["check.py"]


def test_it_leaves_no_core(run: Run) -> None:
    ran = run("import resource\nprint(resource.getrlimit(resource.RLIMIT_CORE))")

    assert log(ran) == "(0, 0)\n"


def test_links_in_place_of_a_result_are_not_followed(run: Run, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    told.write_text('{"metrics": {"gap": 1}}')

    ran = run(f"import os\nos.symlink({str(told)!r}, os.environ['RECONCILER_CHECK_RESULT'])")

    assert ran.metrics == {}


def test_a_pipe_in_place_of_a_result_holds_up_nothing(run: Run) -> None:
    assert run("import os\nos.mkfifo(os.environ['RECONCILER_CHECK_RESULT'])").outcome is CheckOutcome.PASSED


def test_a_command_that_kills_its_keeper_proves_nothing(run: Run) -> None:
    ran = run("import os\nos.kill(os.getppid(), 9)")

    assert (ran.outcome, ran.sentence) == (CheckOutcome.ERROR, "could not run: its keeper was killed")


def test_another_user(run: Run, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        with pytest.raises(ReconcilerError, match="only root"):
            run("", way=Way("nobody"))
        return
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(folder.stat().st_mode | 0o011)
    script = (
        "import os\n"
        "for name in ('environ', 'mem'):\n"
        "    try: open(f'/proc/{os.getppid()}/' + name, 'rb').read(1)\n"
        "    except PermissionError: print('no')\n"
        "open(os.environ['RECONCILER_CHECK_RESULT'], 'w').write('{\"metrics\": {\"uid\": %d}}' % os.getuid())\n"
        "open(os.environ['MODEL_PATH'] + '/MLmodel', 'a').close()\n"
    )

    ran = run(script, command=("/usr/bin/env", "python3", "checks/check.py"), way=Way("nobody"))

    assert log(ran) == "no\nno\n"
    assert ran.outcome is CheckOutcome.PASSED
    assert ran.metrics == {"uid": float(pwd.getpwnam("nobody").pw_uid)}


def test_a_user_who_is_not_there(run: Run) -> None:
    with pytest.raises(ReconcilerError, match="RECONCILER_CHECK_USER names whoever"):
        run("", way=Way("whoever"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run checks as another user")
def test_root_is_no_other_user(run: Run) -> None:
    with pytest.raises(ReconcilerError, match="RECONCILER_CHECK_USER names root, who is root"):
        run("", way=Way("root"))


SECRETS = {
    "MLFLOW_TRACKING_PASSWORD": "x",
    "CI_JOB_TOKEN": "x",
    "AWS_ACCESS_KEY_ID": "x",
    "RECONCILER_SIGNING_KEY": "x",
    "RECONCILER_CHECK_HMAC_KEY": "x",
    "githubToken": "x",
    "SNOWFLAKE_PASSWORD": "x",
    "DATABASE": "postgresql://ada:pw@db/mlflow",
    "NOTE": "-----BEGIN OPENSSH PRIVATE KEY-----",
    "EXTRA": "AUTHORIZATION: basic eDp5",
    "ODD": "ghp_0123456789abcdef",
}
HARMLESS = {
    "PWD": "/work",
    "PATH": "/usr/bin",
    "TOKENIZERS_PARALLELISM": "false",
    "MONKEY": "x",
    "GIT_CONFIG_KEY_0": "safe.directory",
    "EMPTY_TOKEN": "",
    "MLFLOW_TRACKING_URI": "https://mlflow.acme.example",
}


def test_what_looks_like_a_credential() -> None:
    assert set(secret_names({**SECRETS, **HARMLESS})) == SECRETS.keys()


def test_tests_pass(run: Run, tree: Path) -> None:
    (tree / "checks" / "test_model.py").write_text(
        "import os, json, pathlib, pytest\n"
        "def test_there(): assert pathlib.Path(os.environ['MODEL_PATH'], 'MLmodel').exists()\n"
        "@pytest.mark.skip\ndef test_later(): pass\n"
        "def test_tells():\n"
        "    pathlib.Path(os.environ['RECONCILER_CHECK_RESULT']).write_text('{\"metrics\": {\"f1\": 0.5}}')\n"
    )

    ran = run(pytest="checks", environment=FAST)

    assert (ran.outcome, ran.sentence) == (CheckOutcome.PASSED, "2 tests passed")
    assert ran.metrics == {"tests": 3.0, "skipped": 1.0, "failures": 0.0, "errors": 0.0, "f1": 0.5}
    assert [Path(file).name for file in ran.files] == ["log.txt", "junit.xml"]


TESTS = {
    "one fails": ("def test_a(): assert False\ndef test_b(): pass\n", CheckOutcome.FAILED, "1 of 2 tests failed"),
    "none": ("", CheckOutcome.ERROR, "no test was run"),
    "all skipped": ("import pytest\npytest.skip(allow_module_level=True)", CheckOutcome.ERROR, "no test was run"),
    "cannot be read": ("def", CheckOutcome.FAILED, "1 of 1 tests failed"),
    "ends itself": ("import os\nos._exit(0)", CheckOutcome.ERROR, "pytest wrote no report, and ended with exit code 0"),
}


@pytest.mark.parametrize("case", TESTS)
def test_tests_that_prove_nothing(run: Run, tree: Path, case: str) -> None:
    text, outcome, sentence = TESTS[case]
    (tree / "checks" / "test_model.py").write_text(text)

    ran = run(pytest="checks/test_model.py", environment=FAST)

    assert (ran.outcome, ran.sentence) == (outcome, sentence)


@pytest.mark.parametrize("where", ["/etc", "../..", "checks/../../..", "checks/out"])
def test_files_outside_of_the_tree_are_refused(run: Run, tree: Path, where: str) -> None:
    (tree / "checks" / "out").symlink_to("/etc")

    ran = run(pytest=where)

    assert (ran.outcome, ran.sentence) == (CheckOutcome.ERROR, f"could not run: {where} leads out of the repository")


def test_files_that_are_not_there(run: Run) -> None:
    assert (
        run(notebook="checks/none.ipynb").sentence == "could not run: checks/none.ipynb is not in the policy's commit"
    )


THRESHOLDS = {"f1_score": {"threshold": 0.8}}
EVALUATIONS: dict[str, tuple[dict[str, object], str]] = {
    "no data": ({"model_type": "classifier", "thresholds": THRESHOLDS}, "needs `data` and `model-type`"),
    "no thresholds": ({"data": "d.csv", "model_type": "classifier", "thresholds": {}}, "anything would pass"),
    "a comparison": (
        {"data": "d.csv", "model_type": "classifier", "thresholds": {"f1": {"threshold": 1, "min_absolute_change": 1}}},
        "there is no version to compare with",
    ),
    "no table": ({"data": "checks/check.py", "model_type": "regressor", "thresholds": THRESHOLDS}, "neither CSV nor"),
    "not there": (
        {"data": "d.csv", "model_type": "regressor", "thresholds": THRESHOLDS},
        "is not in the policy's commit",
    ),
}


@pytest.mark.parametrize("case", EVALUATIONS)
def test_evaluations_that_cannot_be_made(run: Run, case: str) -> None:
    told, why = EVALUATIONS[case]

    ran = run(evaluate=told)

    assert ran.outcome is CheckOutcome.ERROR
    assert why in ran.sentence
