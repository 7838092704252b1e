# What the stages of `.ci/run` need of the system beside the tool chain, installed where this user may.

# install PROGRAM PACKAGE...: the packages of Debian that PROGRAM comes with, unless it is here. Elsewhere than on Debian, or by another
# user than root, it stays away, and what needs it skips.
install() {
    local program=$1 said
    shift
    if command -v "$program"; then
        return
    fi
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        echo "$program is not here, and only root can install it, with apt-get"
        return
    fi
    said=$(apt-get update 2>&1 && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@" 2>&1) || {
        printf '%s\n' "$said" | tail -20
        echo "$* could not be installed with apt-get, see above" >&2
        return 1
    }
    command -v "$program"
}

browser() {
    local program
    for program in google-chrome chromium; do
        if command -v "$program" >/dev/null; then
            break
        fi
    done
    install "$program" chromium
    if command -v "$program" >/dev/null; then
        make browser CHROMIUM="$program"
    else
        echo 'SKIPPED: browser: no Chromium is here'
    fi
}
