#!/bin/sh
# Puts libtorch where `.cargo/config.toml` looks for it: the git-ignored link `.libtorch` of this checkout.
# It is the folder LIBTORCH names, else the one linked already, else one kept once per user in the cache folder,
# fetched with pip if it is not there yet.
set -eu

version=2.11.0
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
link=$(dirname -- "$(dirname -- "$here")")/.libtorch

fail() {
    echo "setup: $1" >&2
    echo "setup: to use a libtorch $version that you have: LIBTORCH=<folder> make setup" >&2
    echo "setup: without libtorch, the candle engine still builds: cargo build --no-default-features --features candle" >&2
    exit 1
}

. "$here/fetch.sh"

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

whole() {
    [ "$(version_of "$1/torch")" = $version ]
}

fetch() {
    echo "setup: fetching libtorch $version into $home (1.2 GB, once per user)"
    packages "$1" torch==$version nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
    whole "$1" || fail "the fetched torch package holds no libtorch $version"
}

if [ -n "${LIBTORCH:-}" ]; then
    named=$(CDPATH='' cd -- "$LIBTORCH" 2>/dev/null && pwd -P) || fail "LIBTORCH=$LIBTORCH is not a folder"
    found=$(version_of "$named")
    [ "$found" = $version ] ||
        fail "LIBTORCH=$LIBTORCH holds ${found:-no} libtorch, wanted $version (lib/libtorch_cpu.so, include/)"
    [ "$(readlink -f "$link" || true)" = "$named" ] || link_to "$named"
elif [ "$(version_of "$link")" != $version ]; then
    keep libtorch-$version whole fetch
    link_to "$home/libtorch-$version/torch"
fi
