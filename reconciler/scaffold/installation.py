"""What jobs install reconciler from: what the running one was installed from, named so that it can be nothing else."""

import hashlib
import json
import re
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from reconciler import version
from reconciler.core.text import clean
from reconciler.errors import ReconcilerError

PACKAGE = "mlflow-reconciler"
PATIENCE = 120.0

_PLACE = r"[A-Za-z0-9._~:/%+-]+"
_GIT = re.compile(rf"git\+(?:https|ssh|file)://(?:[A-Za-z0-9._-]+@)?{_PLACE}@(?:[0-9a-f]{{40}}|[0-9a-f]{{64}})")
_FILE = re.compile(rf"((?:https|file)://{_PLACE}\.(?:whl|tar\.gz|zip))(?:#| --hash=)(sha256[=:][0-9a-f]{{64}})")
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+(?: --hash=sha256:[0-9a-f]{64})+")
_FORMS = (
    "Pass --install-from with one of: git+https://HOST/PATH@<commit, 40 digits>, "
    f"https://HOST/PATH.whl#sha256=<64 digits>, or '{PACKAGE}==VERSION --hash=sha256:<64 digits>'."
)


def install_source(given: str | None) -> str:
    """
    One line for pip or git that names exactly one content: `given`, or what the running installation says of itself
    (`direct_url.json`, PEP 610). Raises ReconcilerError where neither does.
    """
    return _given(given) if given is not None else _installed()


def is_local(source: str) -> bool:
    """Whether only this machine can install it."""
    return source.startswith(("file:", "git+file:"))


def _given(text: str) -> str:
    text = " ".join(text.split())
    file = _FILE.fullmatch(text)
    if file:
        return f"{file[1]} --hash={file[2].replace('=', ':')}"
    if _RELEASE.fullmatch(text) or (_GIT.fullmatch(text) and not _has_password(text)):
        return text
    raise ReconcilerError(f"`{clean(text)}` does not identify exactly one package content.", _FORMS)


def _has_password(address: str) -> bool:
    """The name of a user over https is a token; over ssh it is `git`."""
    return "@" in urlsplit(address).netloc and not address.startswith("git+ssh:")


def _installed() -> str:
    try:
        found = distribution(PACKAGE)
    except PackageNotFoundError:
        raise _unknown("The running reconciler is not installed as a package") from None
    here = Path(version.__file__).parent.parent
    if Path(str(found.locate_file(""))).resolve() != here.resolve() and "dir_info" not in (_direct(found) or {}):
        raise _unknown(f"The running reconciler is in {here}, and another one is installed")
    direct = _direct(found)
    return _of_release(found) if direct is None else _of_address(direct)


def _direct(found: Distribution) -> dict[str, Any] | None:
    text = found.read_text("direct_url.json")
    try:
        direct: Any = None if text is None else json.loads(text)
    except ValueError:
        direct = {}
    return direct if isinstance(direct, dict) or direct is None else {}  # pyright: ignore[reportUnknownVariableType]  # JSON


def _unknown(why: str) -> ReconcilerError:
    return ReconcilerError(
        f"{clean(why)}: so it is not known what jobs must install to run the same.", f"Nothing was written. {_FORMS}"
    )


def _of_address(direct: dict[str, Any]) -> str:
    """Of a direct_url.json. Whoever made the environment wrote it, so what it says is checked like an option."""
    address = str(direct.get("url", ""))
    vcs, archive = direct.get("vcs_info"), direct.get("archive_info")
    host = urlsplit(address)
    shown = host._replace(netloc=host.netloc.rpartition("@")[2]).geturl()
    if "dir_info" in direct:
        raise _unknown(f"reconciler was installed from the folder {shown.removeprefix('file://')}")
    if direct.get("subdirectory"):
        raise _unknown(f"reconciler was installed from a folder of {shown}")
    if isinstance(vcs, dict):
        kept = address if host.scheme == "ssh" else shown
        line = f"{vcs.get('vcs')}+{kept}@{vcs.get('commit_id')}"  # pyright: ignore[reportUnknownMemberType]  # JSON
    else:
        hashes: Any = archive.get("hashes") if isinstance(archive, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # JSON
        line = f"{shown}#sha256={hashes.get('sha256') if isinstance(hashes, dict) else None}"  # pyright: ignore[reportUnknownMemberType]  # JSON
    try:
        return _given(line)
    except ReconcilerError as error:
        raise _unknown(
            f"reconciler was installed from {shown}, without a commit or a hash that jobs could use"
        ) from error


def _of_release(found: Distribution) -> str:
    """
    Of a release that came from a package index, which leaves no hash behind. So the index is asked for the file once
    more, and its hash counts if every file in it is the one that is installed.
    """
    release = f"{PACKAGE}=={found.version}"
    with TemporaryDirectory() as folder:
        words = [
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--no-deps",
            "--only-binary",
            ":all:",
        ]
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-m", "pip", *words, "--dest", folder, release],
                cwd=folder,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise _unknown(f"{release} came from a package index, which gave no answer") from error
        files = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or len(files) != 1:
            raise _unknown(f"{release} came from a package index, and pip could not download it again")
        digest = hashlib.sha256(files[0].read_bytes()).hexdigest()
        if not _same_files(files[0], found):
            raise _unknown(f"{release} on the package index is not the one that is installed here")
    return f"{release} --hash=sha256:{digest}"


def _same_files(wheel: Path, found: Distribution) -> bool:
    from zipfile import ZipFile

    with ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(("/", ".dist-info/RECORD")):
                continue
            try:
                installed = Path(str(found.locate_file(name))).read_bytes()
            except OSError:
                return False
            if installed != archive.read(name):
                return False
    return True
