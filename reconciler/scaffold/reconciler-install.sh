#!/bin/sh
# Installs reconciler into a new virtual environment: sh reconciler-install.sh FOLDER
#
# The dependencies are the files whose hashes reconciler.lock lists; reconciler itself is the commit, or the file with that
# hash, in reconciler.source. `reconciler init --update` writes both anew. Nothing else is downloaded, and nothing in the
# repository is run: Python is isolated (-I), and pip and git start in an empty folder.
set -eu

venv=$1
here=$(cd "$(dirname "$0")" && pwd)
source=$(grep -v '^#' "$here/reconciler.source")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

install() {
  "$venv/bin/python" -I -m pip install --quiet --disable-pip-version-check --no-input --no-deps "$@"
}

python -I -m venv "$venv"
install --require-hashes --only-binary :all: -r "$here/reconciler.lock"

# Where something has to be built, it is built with what the lock holds, and a build that is kept from before is not used.
case $source in
  git+https://* | git+ssh://* | git+file://*)
    # With git, not pip: pip would accept a branch that is named like a commit.
    commit=${source##*@} address=${source#git+}
    git init --quiet package
    git -C package fetch --quiet --depth 1 "${address%@*}" "$commit"
    if [ "$(git -C package rev-parse FETCH_HEAD)" != "$commit" ]; then
      echo "$here/reconciler.source names the commit $commit, but something else was fetched." >&2
      exit 1
    fi
    git -C package checkout --quiet --detach "$commit"
    install --no-build-isolation --no-cache-dir ./package
    ;;
  *) install --require-hashes --no-build-isolation --no-cache-dir -r "$here/reconciler.source" ;;
esac
