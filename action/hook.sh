#!/usr/bin/env bash
# The hook for pre-commit: installs the commit that `rev` names, the first time, and validates.
set -euo pipefail

product="$(cd "$(dirname "$0")/.." && pwd)"
"$product/action/environment.sh" "$product/.environment"
exec "$product/.environment/bin/reconciler" validate "$@"
