#!/usr/bin/env bash
# Makes a virtual environment with the dependencies that are locked by hash and this very commit of reconciler, unless it is
# there: environment.sh FOLDER. Its bin/reconciler imports nothing from the current folder.
set -euo pipefail

venv=$1
product="$(cd "$(dirname "$0")/.." && pwd)"
if [ -f "$venv/.ready" ]; then exit; fi
cd "$product" # a version manager would obey a .python-version of the repository in hand
rm -rf "$venv"
"${PYTHON:-python3}" -I -m venv "$venv"
"$venv/bin/python" -I -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes \
  --only-binary :all: -r "$product/reconciler/scaffold/reconciler.lock"
# Nothing is built, so nothing is fetched to build it with.
printf '%s\n' "$product" \
  > "$("$venv/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/reconciler.pth"
printf '#!/bin/sh\n"exec" "%s/bin/python" "-I" "$0" "$@"\nfrom reconciler.cli import main\n\nmain()\n' "$venv" \
  > "$venv/bin/reconciler"
chmod +x "$venv/bin/reconciler"
touch "$venv/.ready"
