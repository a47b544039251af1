"""The list of a run's stored files, each with its size and SHA-256, and what is not as it was written.

`files.json` is written when everything else is. Reports and logs, which may be written again, are not in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from cosim.results import BASELINE, HALF_STEP, MANIFEST, RESULTS, VERDICT

FILES = "files.json"

_ONE_RUN = (RESULTS, MANIFEST, VERDICT)
_STORED = (*_ONE_RUN, *(f"{beside}/{name}" for beside in (BASELINE, HALF_STEP) for name in _ONE_RUN))


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all, whatever happens meanwhile. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def list_files(folder: Path, further: Mapping[str, str] | None = None) -> None:
    """Write `files.json` of the run in `folder`; nothing that it holds may be written after. Raises OSError.

    `further`: files that are written next, by name, with the text that they will hold.
    """
    listed: dict[str, object] = {name: [size, file_hash(folder / name)] for name, size in sorted(_stored_files(folder))}
    listed |= {name: _of_text(text) for name, text in (further or {}).items()}
    write_atomically(folder / FILES, json.dumps(listed) + "\n")


def relist(folder: Path, name: str, text: str) -> None:
    """Say that the file `name` of the run in `folder` will hold `text` from now on. Raises OSError, ValueError."""
    listed = json.loads((folder / FILES).read_text())
    write_atomically(folder / FILES, json.dumps({**listed, name: _of_text(text)}) + "\n")


def has_list(folder: Path) -> bool:
    """Whether the run in `folder` has a list of its files; one that was interrupted has none."""
    return (folder / FILES).is_file()


def damage(folder: Path, *, full: bool = True, always: Collection[str] = ()) -> list[str]:
    """What of the run in `folder` is not as its list says, a sentence each: missing, added, of another size.

    With `full`, every byte counts; without, only the bytes of the files `always`, and the sizes of the others. The
    files `always` must be in the list.
    """
    try:
        listed: dict[str, tuple[int, str]] = json.loads((folder / FILES).read_text())
        expected = {name: (int(size), str(sha256)) for name, (size, sha256) in listed.items()}
        found = dict(_stored_files(folder))
        found |= {name: (folder / name).stat().st_size for name in expected if (folder / name).is_file()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return [f"its list of files {FILES} cannot be read: {error}"]
    problems = []
    for name, (size, sha256) in expected.items():
        if name not in found:
            problems.append(f"{_gone(folder, name)} is missing")
        elif found[name] != size:
            problems.append(f"{name} has {found[name]:,} bytes instead of {size:,}")
        elif (full or name in always) and not _holds(folder / name, sha256):
            problems.append(f"{name} holds other bytes than were written")
    problems += [f"{name} is not in its list of files" for name in always if name not in expected]
    problems += [f"{name} was added" for name in sorted(found) if name not in expected]
    return list(dict.fromkeys(problems))  # a group that is gone is one problem, not one for each of its files


def stored_size(folder: Path) -> tuple[int, int]:
    """How many files of the run in `folder` are stored, and their bytes."""
    sizes = [size for _, size in _stored_files(folder)]
    return len(sizes), sum(sizes)


def file_hash(path: Path) -> str:
    """SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _gone(folder: Path, name: str) -> str:
    """The uppermost folder on the way to a missing file that is missing too, or the file."""
    parts = name.split("/")
    ways = ("/".join(parts[:count]) for count in range(1, len(parts)))
    return next((way for way in ways if not (folder / way).exists()), name)


def _of_text(text: str) -> list[object]:
    content = text.encode()
    return [len(content), hashlib.sha256(content).hexdigest()]


def _holds(path: Path, sha256: str) -> bool:
    try:
        return file_hash(path) == sha256
    except OSError:  # removed meanwhile, or unreadable
        return False


def _stored_files(folder: Path) -> Iterator[tuple[str, int]]:
    """Every file of a run that is checked, by its path in the run's folder, and its size [B]."""
    for name in _STORED:
        top = folder / name
        if top.is_file():
            yield name, top.stat().st_size
        elif top.is_dir():
            yield from _files_below(str(top), name)


def _files_below(path: str, name: str) -> Iterator[tuple[str, int]]:
    with os.scandir(path) as entries:
        for entry in entries:
            inside = f"{name}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path, inside)
            else:
                yield inside, entry.stat().st_size
