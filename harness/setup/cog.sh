#!/bin/sh
# Prints the folder of cog, which puts tables into README.md and docs: kept once per user in the cache folder, fetched with pip if it is not
# there yet.
set -eu

version=3.6.0
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)

fail() {
    echo "setup: $1" >&2
    exit 1
}

. "$root/harness/setup/fetch.sh"

is_whole() {
    [ -e "$1/cogapp/__main__.py" ]
}

fill() {
    packages "$1" cogapp==$version
}

keep cogapp-$version is_whole fill
echo "$home/cogapp-$version"
