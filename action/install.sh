#!/usr/bin/env bash
# Installs the commit that the workflow names, once a job. The job's own Python and its packages stay as they are.
set -euo pipefail

venv="$RUNNER_TEMP/reconciler-$(printf '%s' "$GITHUB_ACTION_PATH" | cksum | cut -d ' ' -f 1)"
"$GITHUB_ACTION_PATH/action/environment.sh" "$venv"
"$venv/bin/reconciler" --version
printf 'venv=%s\n' "$venv" >> "$GITHUB_OUTPUT"
