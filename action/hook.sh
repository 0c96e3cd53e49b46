#!/usr/bin/env bash
# The hooks for pre-commit: install the commit that `rev` names, the first time, and run the command that they name.
set -euo pipefail

product="$(cd "$(dirname "$0")/.." && pwd)"
"$product/action/environment.sh" "$product/.environment"
exec "$product/.environment/bin/reconciler" "$@"
