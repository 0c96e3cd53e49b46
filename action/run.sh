#!/usr/bin/env bash
# Runs one command with the options that the inputs ask for. Nothing that it prints is taken for a command of the workflow;
# what came of it is told by the step's outputs.
set -uo pipefail

tell() { printf '%s=%s\n' "$1" "$2" >> "$GITHUB_OUTPUT"; }

refuse() {
  tell failure-reason error
  echo "::error title=reconciler::$1"
  exit 1
}

for value in "$COMMENT" "$EXPECT_REVIEWED"; do
  case $value in true | false) ;; *) refuse "The inputs comment and expect-reviewed are true or false." ;; esac
done

if [ -z "$RECONCILER_SIGNING_KEY" ]; then unset RECONCILER_SIGNING_KEY; fi
work="$(mktemp -d "$RUNNER_TEMP/reconciler.XXXXXX")" || refuse "There is no room in RUNNER_TEMP."
annotations="$work/annotations"
case $COMMAND in
  validate) arguments=(validate "$MANIFESTS") ;;
  plan)
    arguments=(plan --manifests "$MANIFESTS" --ref HEAD --out "$work/plan.json")
    arguments+=(--report "html=$work/plan.html" --report "markdown=$work/plan.md" --report "github=$annotations")
    if [ -n "$BASE" ]; then arguments+=(--base "$BASE"); fi
    if [ -n "$EVIDENCE" ]; then arguments+=(--evidence "$EVIDENCE"); fi
    if [ "$COMMENT" = true ]; then arguments+=(--publish github); else arguments+=(--publish none); fi
    ;;
  apply)
    arguments=(apply --manifests "$MANIFESTS" --yes --publish auto --receipt "$work/receipt.json")
    if [ "$EXPECT_REVIEWED" = true ]; then arguments+=(--expect-reviewed); fi
    ;;
  drift) arguments=(drift --manifests "$MANIFESTS" --publish auto) ;;
  *) refuse "The input command is one of validate, plan, apply and drift." ;;
esac
if [ -n "$REGISTRY_URI" ] && [ "$COMMAND" != validate ]; then arguments+=(--registry-uri "$REGISTRY_URI"); fi
while IFS= read -r argument; do
  if [ -n "$argument" ]; then arguments+=("$argument"); fi
done <<< "$ARGS"

# Names in a registry and texts in a manifest are other people's. Both streams go through one pipe: the runner reads two
# pipes in any order, and a line from before could arrive after commands are heeded again.
stop="$("$VENV/bin/python" -I -c 'import secrets; print(secrets.token_hex(16))')" || refuse "Python does not start."
status=0
printf '::stop-commands::%s\n' "$stop"
"$VENV/bin/reconciler" "${arguments[@]}" 2>&1 || status=$?
printf '\n::%s::\n' "$stop"

if [ "$COMMAND" = validate ]; then
  "$VENV/bin/reconciler" validate "$MANIFESTS" --format github > "$annotations" 2> /dev/null
fi
if [ -f "$annotations" ]; then cat "$annotations"; fi

if [ -f "$work/plan.json" ]; then
  tell plan-path "$work/plan.json"
  "$VENV/bin/python" -I -c '
import json, sys
with open(sys.argv[1], encoding="utf-8") as file:
    plan = json.load(file)
print("changes=" + str(bool(plan["calls"])).lower())
print("blocked=" + str(plan["status"] == "blocked").lower())
print("digest=" + plan["digest"])
' "$work/plan.json" >> "$GITHUB_OUTPUT"
fi
if [ -f "$work/receipt.json" ]; then tell receipt-path "$work/receipt.json"; fi

# The command tells why it failed, where it knows better than its exit code.
if ! grep -q '^failure-reason<<' "$GITHUB_OUTPUT"; then
  case $COMMAND:$status in
    *:0) tell failure-reason "" ;;
    drift:2) tell failure-reason drift ;;
    plan:2) tell failure-reason changes ;;
    *:3) tell failure-reason blocked ;;
    *:4) tell failure-reason plan-changed ;;
    *:130) tell failure-reason interrupted ;;
    *) tell failure-reason error ;;
  esac
fi
exit "$status"
