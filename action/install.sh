#!/usr/bin/env bash
# Puts this product and its locked dependencies into a virtual environment of their own, once a job. The job's own Python
# and its packages stay as they are.
set -euo pipefail

venv="$RUNNER_TEMP/reconciler-$(printf '%s' "$GITHUB_ACTION_PATH" | cksum | cut -d ' ' -f 1)"
if [ ! -f "$venv/.ready" ]; then
  rm -rf "$venv"
  "${PYTHON:-python3}" -I -m venv "$venv"
  "$venv/bin/python" -I -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
    -r "$GITHUB_ACTION_PATH/action/requirements.lock"
  # What is run is the commit that the workflow names: nothing is built, so nothing is fetched to build it with.
  printf '%s\n' "$GITHUB_ACTION_PATH" \
    > "$("$venv/bin/python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/reconciler.pth"
  printf '#!/bin/sh\n"exec" "%s/bin/python" "-I" "$0" "$@"\nfrom reconciler.cli import main\n\nmain()\n' "$venv" \
    > "$venv/bin/reconciler"
  chmod +x "$venv/bin/reconciler"
  touch "$venv/.ready"
fi
"$venv/bin/reconciler" --version
printf 'venv=%s\n' "$venv" >> "$GITHUB_OUTPUT"
