#!/bin/sh
# Puts libtorch where `.cargo/config.toml` looks for it: the git-ignored link `.libtorch` of this checkout.
# It is the folder LIBTORCH names, else the one linked already, else one kept once per user in the cache folder,
# fetched with pip if it is not there yet.
set -eu

version=2.11.0
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
link=$root/.libtorch
home=${XDG_CACHE_HOME:-$HOME/.cache}/prunebench
kept=$home/libtorch-$version

fail() {
    echo "setup: $1" >&2
    echo "setup: without libtorch, the candle engine still builds: cargo build --no-default-features --features candle" >&2
    exit 1
}

# The version a folder's own files state, or nothing if it holds no libtorch.
version_of() {
    [ -e "$1/lib/libtorch_cpu.so" ] || return 0
    if [ -f "$1/build-version" ]; then
        sed 's/+.*//' "$1/build-version"
    else
        sed -n "s/^__version__ = '\([0-9.]*\).*/\1/p" "$1/version.py" 2>/dev/null
    fi
}

link_to() {
    if [ -e "$link" ] && [ ! -L "$link" ]; then
        fail "$link is not a link; move it away and run this again"
    fi
    ln -sfn "$1" "$link"
    echo "setup: .libtorch -> $1"
}

fetch() {
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] ||
        fail "libtorch is fetched for Linux on x86-64 only; name your own libtorch $version: LIBTORCH=<folder> make setup"
    command -v python3 >/dev/null ||
        fail "python3 is missing; install Python 3.9 or newer (Debian: apt install python3 python3-pip)"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
        fail "$(python3 --version) is too old; Python 3.9 or newer is needed"
    python3 -m pip --version >/dev/null 2>&1 ||
        fail "python3 has no pip; install it (Debian: apt install python3-pip; elsewhere: python3 -m ensurepip --user)"

    # A half-made folder never has the final name, so an interrupted run leaves nothing that looks whole.
    partial=$home/.libtorch-$version.partial
    rm -rf "$partial"
    trap 'rm -rf "$partial"' EXIT
    trap 'exit 1' HUP INT TERM
    echo "setup: fetching libtorch $version into $kept (1.2 GB, once per user)"
    # Only these packages' libraries and headers are used, so any Python may fetch the wheel of 3.12.
    PIP_USER=0 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --no-deps \
        --no-compile --only-binary=:all: --python-version 3.12 --target "$partial" \
        torch==$version nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85 ||
        fail "pip could not fetch libtorch (see above); with the network back, run this again"
    [ "$(version_of "$partial/torch")" = $version ] || fail "the fetched torch package holds no libtorch $version"
    mv "$partial" "$kept"
}

if [ -n "${LIBTORCH:-}" ]; then
    named=$(CDPATH='' cd -- "$LIBTORCH" 2>/dev/null && pwd -P) || fail "LIBTORCH=$LIBTORCH is not a folder"
    found=$(version_of "$named")
    [ "$found" = $version ] ||
        fail "LIBTORCH=$LIBTORCH holds ${found:-no} libtorch, wanted $version (lib/libtorch_cpu.so, include/)"
    [ "$(readlink -f "$link" || true)" = "$named" ] || link_to "$named"
elif [ "$(version_of "$link")" != $version ]; then
    if [ "$(version_of "$kept/torch")" != $version ]; then
        mkdir -p "$home"
        command -v flock >/dev/null || fail "the command flock is missing; install util-linux"
        exec 9>"$home/.libtorch-$version.lock"
        flock 9
        # Another checkout may have fetched it while this one waited.
        if [ "$(version_of "$kept/torch")" != $version ]; then
            rm -rf "$kept"
            fetch
        fi
    fi
    link_to "$kept/torch"
fi
