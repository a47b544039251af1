"""Fill the code blocks of the pages that show a file: ```python file=examples/x.py ... ``` gets that file's text."""

from __future__ import annotations

import re
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
BLOCK = re.compile(r"^(```\w+ file=(?P<file>\S+)\n).*?^```$", re.MULTILINE | re.DOTALL)


def filled(page: Path) -> str:
    """The page's text with every such block up to date."""
    return BLOCK.sub(lambda found: found[1] + (FOLDER / found["file"]).read_text() + "```", page.read_text())


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(filled(page))
