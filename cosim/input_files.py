"""Opening what a user names: only ordinary files, and none so large that reading it is what hangs."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from cosim.errors import Fault, ScenarioError

LARGEST_TEXT = 16 * 2**20  #: [B] of a file in YAML
MISSING = "does not exist"
LARGEST_DATA = 2 * 2**30  #: [B] of a table or a grid

#: What is no ordinary file, by its kind.
_KINDS = (
    (stat.S_ISDIR, "is a folder, not a file"),
    (stat.S_ISFIFO, "is a pipe, not a file"),
    (stat.S_ISSOCK, "is a socket, not a file"),
    (stat.S_ISCHR, "is a device, not a file"),
    (stat.S_ISBLK, "is a device, not a file"),
)


def unfit(path: Path, largest: int = LARGEST_DATA) -> str:
    """Why the file at `path` cannot be read, in words that follow its name; "" if it can.

    It is looked at, not opened: to open a pipe is to wait for its other end.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return MISSING
    except OSError as error:
        loop = error.errno == errno.ELOOP
        return "is a link that leads to itself" if loop else f"cannot be read: {error.strerror}"
    except ValueError:  # a zero byte in its name
        return "is no name that a file can have"
    for is_kind, words in _KINDS:
        if is_kind(found.st_mode):
            return words
    if found.st_size > largest:
        return f"has {found.st_size:,} bytes; at most {largest:,} are read"
    return ""


def read_text(path: Path) -> str:
    """The text of a file in UTF-8. Raises ScenarioError where it cannot be read."""
    problem = unfit(path, LARGEST_TEXT).replace(MISSING, "there is no such file")
    if problem:
        remedy = "Name the YAML file in it." if "folder" in problem else "Correct the path."
        raise ScenarioError([Fault(str(path), f"{problem}.", remedy)])
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ScenarioError([Fault(str(path), f"is not UTF-8 text ({error.reason}).", "Save it as UTF-8.")]) from None
    except OSError as error:
        raise ScenarioError([Fault(str(path), f"cannot be read: {error.strerror}.")]) from None
