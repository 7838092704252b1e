"""Which tests of the code claims name (`shown_by` in reports/papers/*/claims.toml), and whether they ran and passed:

    python3 .ci/shown.py names         the names, as the test runner takes them
    python3 .ci/shown.py check LOG     fails if one of them did not run and pass, by what `cargo test` printed
    python3 .ci/shown.py note LOG      the same, and notes those that passed in results/papers/tests.toml, from where `prunebench claims`
                                       has it
"""

import datetime
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EVIDENCE = ROOT / "results/papers/tests.toml"


def named(text):
    """The tests that a file of claims names, each with its crate before it."""
    tests = re.findall(r'^shown_by = "(\w+(?:::\w+)+)"$', text, re.MULTILINE)
    if len(tests) != len(re.findall(r"^\s*shown_by\b", text, re.MULTILINE)):
        raise SystemExit('a claim names its test as in `shown_by = "prunebench_train::tests::steps::name"`, and one is written otherwise')
    return tests


def passed(log):
    """The tests that passed, each with its crate before it, and did not skip."""
    found, skipped, crate = set(), set(re.findall(r"SKIPPED: (\S+): ", log)), None
    for line in log.splitlines():
        if match := re.search(r"Running .*[/\\](\w+)-[0-9a-f]+\)", line):
            crate = match.group(1)
        elif "Doc-tests " in line:
            crate = None
        elif crate and (match := re.match(r"test (\S+) \.\.\. ok$", line)) and match.group(1) not in skipped:
            found.add(f"{crate}::{match.group(1)}")
    return found


def problems(log, tests):
    """What is wrong: a name that is no test, and a test that failed, skipped or was left out."""
    for test in sorted(tests - passed(log)):
        yield f"a claim names {test}, which did not run and pass: mend the test, or the name in reports/papers/*/claims.toml"


def evidence(tests, version, revision, date):
    lines = "".join(f'    "{test}",\n' for test in sorted(tests))
    return (f"# By `make claim-tests`: the tests that claims name, which ran and passed.\n"
            f'version = "{version}"\nrevision = "{revision}"\ndate = "{date}"\npassed = [\n{lines}]\n')


def main():
    what, *logs = sys.argv[1:] or [""]
    if (what, len(logs)) not in [("names", 0), ("check", 1), ("note", 1)]:
        sys.exit(__doc__)
    tests = {test for file in ROOT.glob("reports/papers/*/claims.toml") for test in named(file.read_text(encoding="utf-8"))}
    if what == "names":
        print(*sorted(test.split("::", 1)[1] for test in tests))
        return
    found = list(problems(Path(logs[0]).read_text(errors="replace"), tests))
    if found:
        sys.exit("\n".join(found))
    if what == "note":
        version = re.search('^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE).group(1)
        revision = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], cwd=ROOT, check=True,
                                  stdout=subprocess.PIPE, encoding="utf-8").stdout.strip()
        EVIDENCE.write_text(evidence(tests, version, revision, datetime.date.today()))
    print(f"tests that claims name: {len(tests)}, all of which passed")


if __name__ == "__main__":
    main()
