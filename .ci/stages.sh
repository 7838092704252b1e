# The stages of `.ci/run`: which of them run, what each may take, and what it took. All they print is kept in the file $log.

begin() {
    case "${1:-}" in
        '') all= ;;
        --all) all=yes ;;
        *) echo "there is no option $1, only --all" >&2 && exit 2 ;;
    esac
    log=$(mktemp)
    durations=()
    over=()
    trap 'rm -f "$log"; summary' EXIT
}

# stage NAME BUDGET INPUTS COMMAND...: runs the command, which has BUDGET seconds. INPUTS is `always`, or the paths that decide
# how it ends, for a stage that is left out where they are as they were.
stage() {
    local name=$1 budget=$2 inputs=$3 start=$SECONDS base took
    shift 3
    printf '\n== %s: %s\n' "$name" "$*" | tee -a "$log"
    if [[ $inputs != always && -z $all ]]; then
        base=$(passed_commit)
        if ! must_run "$base" $inputs; then
            echo "not run: its inputs are those of $base, which passed"
            durations+=("$(printf '%6s of %4d s  %s' - "$budget" "$name")")
            return
        fi
    fi
    "$@" 2>&1 | tee -a "$log"
    took=$((SECONDS - start))
    durations+=("$(printf '%6d of %4d s  %s' "$took" "$budget" "$name")")
    if ((took > budget)); then
        over+=("$name took $took s, and has $budget s")
    fi
}

# The commit whose inputs passed, or nothing where none is known.
passed_commit() {
    local base
    if [[ -n ${PRUNEBENCH_CI_BASE:-} ]]; then
        git rev-parse --quiet --verify "$PRUNEBENCH_CI_BASE^{commit}" || true
        return
    fi
    base=$(git merge-base HEAD origin/HEAD 2>/dev/null || true)
    # Where HEAD is on that branch nothing tells whether it passed: it may be what is to be checked.
    if [[ $base != "$(git rev-parse HEAD)" ]]; then
        echo "$base"
    fi
}

# must_run BASE PATH...: whether anything below the paths, or what decides how every stage runs, differs from the commit BASE.
must_run() {
    local base=$1 path
    shift
    for path in "$@"; do
        # A path that is misspelt would never change.
        [[ -e $path ]] || { echo "a stage has the input $path, which is not there; mend .ci/run" >&2 && exit 1; }
    done
    [[ -n $base ]] || return 0
    set -- "$@" .ci Cargo.lock Cargo.toml Makefile
    ! git diff --quiet "$base" -- "$@" || [[ -n $(git ls-files --others --exclude-standard -- "$@") ]]
}

summary() {
    if ((${#durations[@]})); then
        printf '\n%s\n' "What each stage took of its budget:"
        printf '%s\n' "${durations[@]}"
    fi
}

# finish BUDGET: the whole has a budget too. What is over its budget is said; it fails where PRUNEBENCH_CI_BUDGETS is `enforced`, for of two
# machines one may take twice as long.
finish() {
    durations+=("$(printf '%6d of %4d s  %s' "$SECONDS" "$1" whole)")
    if ((SECONDS > $1)); then
        over+=("the whole took $SECONDS s, and has $1 s")
    fi
    if ((${#over[@]})); then
        printf '\n'
        printf 'over budget: %s\n' "${over[@]}" >&2
        [[ ${PRUNEBENCH_CI_BUDGETS:-} != enforced ]] || exit 1
    fi
    printf '\n== all passed\n'
}
