"""Fails where a relative link of a Markdown file, or a page that a claim cites as its source, leads nowhere:

    python3 .ci/links.py
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def anchors(text):
    """The anchors that GitHub gives the headings of a text."""
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub("[`*]", "", heading))
        yield re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def links(path, text):
    """Where a file links to, from its own folder or, in claims, from the root."""
    if path.suffix == ".toml":
        return [(ROOT, link) for link in re.findall(r"docs/[\w/]+\.md#[\w-]+", text)]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [(path.parent, link) for link in re.findall(r"\]\(([^)\s]+)\)", prose) if not re.match("[a-z]+:", link)]


def problems(path, text):
    for folder, link in links(path, text):
        target, _, anchor = link.partition("#")
        found = (folder / target) if target else path
        if not found.exists():
            yield f"{path.relative_to(ROOT)}: {link} is not there"
        elif anchor and anchor not in anchors(found.read_text(encoding="utf-8")):
            yield f"{path.relative_to(ROOT)}: {link} names no heading"


def main():
    listed = subprocess.run(["git", "ls-files", "*.md", "reports/papers/*/claims.toml"], cwd=ROOT, check=True,
                            stdout=subprocess.PIPE, encoding="utf-8").stdout.splitlines()
    found = [problem for name in listed for problem in problems(ROOT / name, (ROOT / name).read_text(encoding="utf-8"))]
    if found:
        sys.exit("\n".join(found))
    print(f"links of {len(listed)} files lead somewhere")


if __name__ == "__main__":
    main()
