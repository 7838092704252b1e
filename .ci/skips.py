"""Checks which tests skipped in a run against the list of those that may: python3 .ci/skips.py LOG

LOG is what `.ci/run` printed. A skip is `SKIPPED: <test>: <why>`. The list is the file `skips` beside this script: a condition and a
test, or a stage of `.ci/run`, on each line."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def has_shared():
    folder = os.environ.get("PRUNEBENCH_SHARED") or HERE / "../../shared"
    return Path(folder, "golden").is_dir()


def can_install():
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def can_mount():
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], stderr=subprocess.DEVNULL).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
        return True


def can_bound_memory():
    for root, limit in [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")]:
        folder = Path(root, f"prunebench-skips-{os.getpid()}")
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            # Where version 1 is mounted the first is a plain folder, in which any file can be written.
            if (folder / "cgroup.procs").exists():
                (folder / limit).write_text("900000000")
                return True
        except OSError:
            continue
        finally:
            folder.rmdir()
    return False


# What a machine may lack, and what tells that it has it.
CONDITIONS = {
    "no-shared-data": has_shared,
    "no-apt-as-root": can_install,
    "no-mount": can_mount,
    "no-bound-on-memory": can_bound_memory,
}


def listed(text):
    """The conditions under which each test may skip."""
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            condition, test = line.split()
            found.setdefault(test, []).append(condition)
    return found


def problems(log, allowed, has):
    """What is wrong with the skips of a log. `has` tells of a condition whether this machine has what it lacks there."""
    lines = log.splitlines()
    skipped = {}
    for line in lines:
        if "SKIPPED" in line:
            match = re.search(r"SKIPPED: (\S+): (.+)", line)
            if match:
                skipped[match.group(1)] = match.group(2)
            else:
                yield f"a skip is told as `SKIPPED: <test>: <why>`, and here as: {line}"
    known = {match.group(1) for line in lines if (match := re.match(r"(?:test |== )(\S+?)(?: \.\.\.|: )", line))}
    for test in sorted(allowed.keys() - known):
        yield f".ci/skips lists {test}, which is no test of this run: mend the name or remove the line"
    for condition in sorted({condition for conditions in allowed.values() for condition in conditions} - CONDITIONS.keys()):
        yield f".ci/skips has the condition {condition}; there are {', '.join(CONDITIONS)}"
    for test, why in sorted(skipped.items()):
        conditions = [condition for condition in allowed.get(test, []) if condition in CONDITIONS]
        if not conditions:
            yield f"{test} skipped ({why}), and .ci/skips doesn't list it: make it run, or add the line if it may"
        elif all(has(condition) for condition in conditions):
            yield f"{test} skipped ({why}), and may only where there is {' or '.join(conditions)}, which isn't so here"


def main():
    [log] = sys.argv[1:]
    held = {condition: has() for condition, has in CONDITIONS.items()}
    log = Path(log).read_text(errors="replace")
    allowed = listed((HERE / "skips").read_text())
    found = list(problems(log, allowed, held.get))
    print("here:", ", ".join(condition for condition, has in held.items() if not has) or "nothing is lacking")
    if found:
        sys.exit("\n".join(found))
    print(f"{len(set(re.findall('SKIPPED: (.+?): ', log)))} skipped, all of which may here")


if __name__ == "__main__":
    main()
