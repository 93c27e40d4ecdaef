#!/usr/bin/env bash
# Proves what a release would ship: sdist and wheel are built, and the wheel runs where there is no checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

PYTHON=$PWD/.venv/bin/python
SITE=$PWD/build/dist-check

say() { printf '[dist-check] %s\n' "$*"; }

die() {
    printf '[error] %s\n' "$*" >&2
    exit 1
}

# answers_with VERSION COMMAND…: the command runs outside the checkout and prints that version.
answers_with() {
    local expected=$1 answer
    shift
    answer=$(cd / && "$@")
    [[ $answer == *"$expected"* ]] || die "\`$*\` answered \"$answer\", not version $expected"
    say "$* -> $answer"
}

say "building the sdist, and the wheel from it ..."
rm -rf dist "$SITE"
# With the tools of .venv, which are pinned by hash; an isolated build would fetch others.
"$PYTHON" -m build --no-isolation --outdir dist . >/dev/null
wheel=$(echo "$PWD"/dist/*.whl)
say "built $(basename "$wheel"), $(stat -c %s "$wheel") bytes"

say "installing it into an empty environment ..."
"$PYTHON" -m venv "$SITE"
pip=("$SITE/bin/python" -m pip --disable-pip-version-check -qq install)
"${pip[@]}" --require-hashes -r requirements/runtime.txt
"${pip[@]}" --no-deps --no-index "$wheel"

version=$("$PYTHON" -m hatchling version)
answers_with "$version" "$SITE/bin/pyro" --version
if command -v uvx >/dev/null; then
    answers_with "$version" uvx --from "$wheel" pyro --version
else
    say "uvx is not installed: \`uvx --from $(basename "$wheel") pyro --version\` was not tried"
fi

guest=("$SITE"/lib/python3*/site-packages/pyro_mcp/runtime_bundle/linux-x86_64/bin/pyro-guest)
[ -x "${guest[0]}" ] || die "the wheel holds no executable guest binary"
say "the guest binary is in place and executable"
