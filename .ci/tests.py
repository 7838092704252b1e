"""Tests of what `.ci/run` is made of: python3 .ci/tests.py"""

import subprocess
import tempfile
import unittest
from pathlib import Path

import links
import shown
import skips

HERE = Path(__file__).resolve().parent


def bash(script, folder, **environment):
    """The exit code of a script that knows the stages, and what it printed."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment}
    ran = subprocess.run(["bash", "-c", f"set -euo pipefail; . {HERE}/stages.sh\n{script}"], cwd=folder, env=environment,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8")
    return ran.returncode, ran.stdout


class Skips(unittest.TestCase):
    LOG = "== browser: make browser\ntest a::b ... ok\ntest c ... ok\n"

    def problems(self, more, listed, lacking=()):
        return list(skips.problems(self.LOG + more, skips.listed(listed), lambda condition: condition not in lacking))

    def test_a_skip_that_is_not_listed_fails(self):
        [problem] = self.problems("SKIPPED: a::b: no reason\n", "no-mount c", ["no-mount"])
        self.assertIn("a::b skipped (no reason)", problem)

    def test_a_listed_skip_passes_only_where_its_condition_holds(self):
        for skipped in ["a::b", "browser"]:
            found = f"SKIPPED: {skipped}: not permitted\n"
            self.assertEqual(self.problems(found, f"no-mount {skipped}", ["no-mount"]), [])
            [problem] = self.problems(found, f"no-mount {skipped}")
            self.assertIn("may only where there is no-mount", problem)

    def test_a_skip_is_found_in_the_middle_of_a_line(self):
        [problem] = self.problems("test d ... SKIPPED: c: it is so\n", "")
        self.assertIn("c skipped", problem)

    def test_a_skip_in_another_form_fails(self):
        [problem] = self.problems("SKIPPED (no Slurm): sweeps on Slurm: not root\n", "")
        self.assertIn("is told as `SKIPPED: <test>: <why>`", problem)

    def test_a_listed_test_that_is_none_fails(self):
        [problem] = self.problems("", "no-mount a::renamed")
        self.assertIn("a::renamed, which is no test", problem)

    def test_a_condition_that_is_none_fails(self):
        [problem] = self.problems("", "no-moutn c")
        self.assertIn("has the condition no-moutn", problem)

    def test_every_test_skips_through_one_helper(self):
        found = subprocess.run(["git", "grep", "-l", "SKIPPED", "--", "*.rs"], cwd=HERE.parent, stdout=subprocess.PIPE,
                               encoding="utf-8")
        self.assertEqual(found.stdout.split(), ["tests/support/src/lib.rs"])


class Shown(unittest.TestCase):
    LOG = """     Running unittests src/lib.rs (target/debug/deps/prunebench_a-0123456789abcdef)
test x::one ... ok
test x::two ... FAILED
test x::three ... ok
SKIPPED: x::three: no reason
     Running tests/main.rs (target/debug/deps/whole-0123456789abcdef)
test four ... ok
   Doc-tests prunebench_a
test five ... ok
"""

    def problems(self, *tests):
        return list(shown.problems(self.LOG, set(tests)))

    def test_a_test_that_ran_and_passed_is_enough(self):
        self.assertEqual(self.problems("prunebench_a::x::one", "whole::four"), [])

    def test_a_test_that_failed_or_skipped_or_is_none_or_is_of_another_crate_fails(self):
        for test in ["prunebench_a::x::two", "prunebench_a::x::three", "prunebench_a::x::on", "whole::x::one", "prunebench_a::four",
                     "whole::five"]:
            [problem] = self.problems(test, "whole::four")
            self.assertIn(f"a claim names {test}, which did not run and pass", problem)

    def test_names_are_read_where_they_stand_in_one_form_and_refused_elsewhere(self):
        self.assertEqual(shown.named('id = "1"\nshown_by = "a::b::c"\n[[claim]]\nshown_by = "d::e"\n'), ["a::b::c", "d::e"])
        for line in ["shown_by = 'a::b'", 'shown_by="a::b"', 'shown_by = "a"', 'shown_by = ["a::b"]', '  shown_by = "a::b"']:
            with self.assertRaises(SystemExit):
                shown.named(f'shown_by = "d::e"\n{line}\n')

    def test_what_is_noted_names_the_version_and_the_tests(self):
        text = shown.evidence({"b::c", "a::b"}, "1.2.3", "0123-dirty", "2026-01-01")
        self.assertEqual(text.splitlines()[1:], ['version = "1.2.3"', 'revision = "0123-dirty"', 'date = "2026-01-01"', "passed = [",
                                                 '    "a::b",', '    "b::c",', "]"])


class Links(unittest.TestCase):
    def problems(self, text, name="docs/page.md"):
        return list(links.problems(links.ROOT / name, text))

    def test_files_and_headings_that_are_there_are_enough(self):
        self.assertEqual(self.problems("[a](../README.md), [b](format.md#the-results-folder), [c](https://a.b/c)\n```\n[d](e)\n```"), [])

    def test_a_file_or_a_heading_that_is_not_there_fails(self):
        for link, what in [("format.toml", "is not there"), ("format.md#the-results", "names no heading")]:
            self.assertEqual(self.problems(f"[a]({link})"), [f"docs/page.md: {link} {what}"])
        [problem] = self.problems('source = "docs/papers/weight_evolution.md#expectation-99; ours"', "reports/papers/a/claims.toml")
        self.assertIn("names no heading", problem)


class Stages(unittest.TestCase):
    """A repository whose stage `heavy` has the input `input`, cloned after one commit."""

    def setUp(self):
        around = tempfile.TemporaryDirectory()
        self.addCleanup(around.cleanup)
        self.folder = Path(around.name, "clone")
        origin = Path(around.name, "origin")
        for path in ["input/a", "other/a", ".ci/run", "Makefile", "Cargo.toml", "Cargo.lock"]:
            (origin / path).parent.mkdir(parents=True, exist_ok=True)
            (origin / path).write_text("a\n")
        self.git("init", "--quiet", folder=origin)
        self.commit(origin)
        self.git("clone", "--quiet", origin, self.folder, folder=around.name)

    def git(self, *arguments, folder=None):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(["git", *who, *map(str, arguments)], cwd=folder or self.folder, check=True, stdout=subprocess.PIPE,
                              encoding="utf-8").stdout.strip()

    def commit(self, folder=None):
        self.git("add", "--all", folder=folder)
        self.git("commit", "--quiet", "--message", "a", folder=folder)
        return self.git("rev-parse", "HEAD", folder=folder)

    def change(self, path):
        (self.folder / path).write_text("b\n")

    def runs(self, option="", inputs="input", **environment):
        code, said = bash(f"begin {option}\nstage heavy 60 {inputs!r} echo it-ran\nfinish 60", self.folder, **environment)
        self.assertEqual(code, 0, said)
        ran = "\nit-ran\n" in said
        self.assertEqual(ran, "not run: its inputs are those of" not in said, said)
        return ran

    def test_a_stage_runs_where_its_inputs_or_ci_changed_since_the_default_branch(self):
        self.change("other/a")
        self.commit()
        self.assertFalse(self.runs())
        self.assertTrue(self.runs(inputs="other input"))
        self.assertTrue(self.runs(inputs="always"))
        self.change("Makefile")
        self.commit()
        self.assertTrue(self.runs())

    def test_what_is_not_committed_counts(self):
        self.change("other/a")
        self.commit()
        self.change("input/new")
        self.assertTrue(self.runs())
        (self.folder / "input/new").unlink()
        self.assertFalse(self.runs())
        self.change("input/a")
        self.assertTrue(self.runs())

    def test_a_stage_runs_where_no_commit_is_known_to_have_passed(self):
        # At the head of its origin nothing tells.
        self.assertTrue(self.runs())
        self.change("other/a")
        self.commit()
        self.assertFalse(self.runs())
        self.assertTrue(self.runs(PRUNEBENCH_CI_BASE="0123456789abcdef0123456789abcdef01234567"))
        self.git("remote", "remove", "origin")
        self.assertTrue(self.runs())

    def test_the_commit_that_is_named_is_compared_with(self):
        first = self.git("rev-parse", "HEAD")
        self.change("input/a")
        second = self.commit()
        self.assertTrue(self.runs())
        self.assertTrue(self.runs(PRUNEBENCH_CI_BASE=first))
        self.assertFalse(self.runs(PRUNEBENCH_CI_BASE=second))

    def test_all_runs_every_stage(self):
        self.change("other/a")
        self.commit()
        self.assertFalse(self.runs())
        self.assertTrue(self.runs("--all"))
        code, said = bash("begin --every", self.folder)
        self.assertEqual((code, said), (2, "there is no option --every, only --all\n"))

    def test_an_input_that_is_not_there_fails(self):
        code, said = bash("begin\nstage heavy 60 'input inptu' echo it-ran\nfinish 60", self.folder)
        self.assertEqual(code, 1)
        self.assertIn("has the input inptu, which is not there", said)

    def test_a_stage_over_its_budget_is_said_and_fails_where_budgets_are_enforced(self):
        enforced = {"PRUNEBENCH_CI_BUDGETS": "enforced"}
        stages = "begin\nstage slow 0 always sleep 1.1\nstage other 60 always echo it-ran\nfinish 60"
        code, said = bash(stages, self.folder)
        self.assertEqual(code, 0)
        self.assertRegex(said, r"over budget: slow took \d s, and has 0 s")
        code, said = bash(stages, self.folder, **enforced)
        self.assertEqual(code, 1)
        self.assertIn("\nit-ran\n", said)
        self.assertRegex(said, r"over budget: slow took \d s, and has 0 s")
        self.assertRegex(said, r" \d of    0 s  slow\n")
        self.assertNotIn("all passed", said)
        code, said = bash("begin\nstage slow 60 always sleep 1.1\nfinish 0", self.folder, **enforced)
        self.assertEqual(code, 1)
        self.assertIn("over budget: the whole took", said)

    def test_a_stage_that_fails_ends_the_run(self):
        fails = "fails() { false; echo it-went-on; }"
        code, said = bash(f"{fails}\nbegin\nstage bad 60 always fails\nstage other 60 always echo it-ran\nfinish 60", self.folder)
        self.assertEqual(code, 1)
        self.assertNotIn("it-ran", said)
        self.assertNotIn("it-went-on", said)


if __name__ == "__main__":
    unittest.main()
