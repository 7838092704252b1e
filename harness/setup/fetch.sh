# Read by the scripts beside it: what they fetch is kept in the user's cache folder, whole or not at all.
# A script that reads this defines `fail`, which says what is wrong and ends it.

home=${XDG_CACHE_HOME:-$HOME/.cache}/prunebench

# keep NAME CHECK FILL: makes the folder NAME of the cache, unless CHECK finds it whole, by FILL with the path of a new one.
keep() {
    if "$2" "$home/$1"; then
        return
    fi
    mkdir -p "$home"
    command -v flock >/dev/null || fail "the command flock is missing; install util-linux"
    exec 9>"$home/.$1.lock"
    flock 9
    # Another checkout may have made it while this one waited.
    if ! "$2" "$home/$1"; then
        # A half-made folder never has the final name, so an interrupted run leaves nothing that looks whole.
        partial=$home/.$1.partial
        rm -rf "$partial" "${home:?}/$1"
        trap 'rm -rf "$partial"' EXIT
        trap 'exit 1' HUP INT TERM
        "$3" "$partial"
        mv "$partial" "$home/$1"
        trap - EXIT HUP INT TERM
    fi
    exec 9>&-
}

# packages FOLDER PACKAGE==VERSION...: the files of Python packages, without what these depend on. Only their libraries and headers are
# used, or they are Python alone, so any Python may fetch the wheels of 3.12.
packages() {
    folder=$1
    shift
    install_into "$folder" --only-binary=:all: --python-version 3.12 "$@"
}

# modules FOLDER FILE: what a file of pinned requirements lists, all of it and nothing else, for the Python that is here.
modules() {
    install_into "$1" --requirement "$2"
}

install_into() {
    folder=$1
    shift
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || fail "what is fetched is for Linux on x86-64 only"
    command -v python3 >/dev/null ||
        fail "python3 is missing; install Python 3.9 or newer (Debian: apt install python3 python3-pip)"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
        fail "$(python3 --version) is too old; Python 3.9 or newer is needed"
    python3 -m pip --version >/dev/null 2>&1 ||
        fail "python3 has no pip; install it (Debian: apt install python3-pip; elsewhere: python3 -m ensurepip --user)"
    PIP_USER=0 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet --no-deps \
        --no-compile --target "$folder" "$@" ||
        fail "pip could not fetch $* (see above); with the network back, run this again"
}
