"""Whether a Dask worker may take part in a batch: it must see the same folder and files, and run the same code.

Asked once of each worker's process, before its first run. A token is read and another written in the batch's folder:
only if each side sees what the other wrote is it one folder. Who was not asked makes no run (`NotAdmittedError`).
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cosim.errors import MachineError
from cosim.manifest import versions
from runs.batch.task import WORK, OtherError, Zygotes

SEEN_WITHIN = 3.0  #: [s] for the client's token to be seen, where a shared disk does not show it yet
MOST_NAMED = 3  #: other versions or files that a refusal names


class NotAdmittedError(MachineError):
    """A process that was not asked, or must no longer take part: the text says why, "" for the former."""


@dataclass(frozen=True)
class Question:
    """What a worker is asked."""

    session: str  #: of the client
    out: Path  #: the batch's folder
    code: str  #: the hash of the client's code
    versions: Mapping[str, str]  #: of its packages
    inputs: Mapping[str, str]  #: SHA-256 of the batch's input files, by path
    kinds: tuple[str, ...]  #: of federates, worth importing before

    @property
    def token(self) -> Path:
        """The client's token, which the worker must see."""
        return self.out / WORK / f"{self.session}.token"

    def answer_file(self, answer: Answer) -> Path:
        """The worker's token, which the client must see."""
        return self.out / WORK / f"{self.session}.{answer.token}.seen"

    def write_token(self) -> None:
        """By the client, before it asks. Raises OSError."""
        self.token.write_text(self.session)


@dataclass(frozen=True)
class Answer:
    """What a worker answers."""

    token: str = ""
    refusal: str = ""  #: why it cannot take part, as a predicate of the worker; "" if it can


_ADMITTED: set[str] = set()  #: the sessions in which this process may make runs


def answer(question: Question) -> Answer:
    """In the worker: whether it sees the same folder and files, and has the same code."""
    refusal = (
        _other_folder(question) or _other_versions(question) or _other_code(question) or _other_inputs(question.inputs)
    )
    if refusal:
        return Answer(refusal=refusal)
    given = Answer(secrets.token_hex(8))
    try:
        question.answer_file(given).write_text(given.token)
    except OSError as error:
        return Answer(refusal=f"cannot write into {question.out} ({error.strerror})")
    _ADMITTED.add(question.session)
    return given


def came_back(question: Question, given: Answer) -> bool:
    """In the client: whether what the worker wrote has come to the folder here; it goes."""
    path = question.answer_file(given)
    try:
        same = path.read_text() == given.token
    except OSError:
        return False
    path.unlink(missing_ok=True)
    return same


def require_admitted(session: str) -> None:
    """In the worker, before a run. Raises NotAdmittedError."""
    if session not in _ADMITTED:
        raise NotAdmittedError("")


def _other_folder(question: Question) -> str:
    until = time.monotonic() + SEEN_WITHIN
    while question.out.is_dir() and not question.token.exists() and time.monotonic() < until:
        time.sleep(0.1)
    try:
        same = question.token.read_text() == question.session
    except OSError as error:
        return f"does not see the batch's folder {question.out} ({error.strerror})"
    return "" if same else f"sees another folder at {question.out}"


def _other_versions(question: Question) -> str:
    here = versions()
    other = [f"{name} {here.get(name)} instead of {wanted}" for name, wanted in question.versions.items()
             if here.get(name) != wanted]  # fmt: skip
    return f"has {_few(other)}" if other else ""


def _other_code(question: Question) -> str:
    try:
        with Zygotes.of_this_process().take(question.kinds, question.code):
            return ""
    except OtherError as error:
        return str(error)
    except MachineError as error:
        return f"cannot start runs: {error}"


def _other_inputs(expected: Mapping[str, str]) -> str:
    other = []
    for path, sha256 in expected.items():
        try:
            same = hashlib.sha256(Path(path).read_bytes()).hexdigest() == sha256
        except OSError:
            other.append(f"no {path}")
            continue
        if not same:
            other.append(f"another {path}")
    return f"sees {_few(other)}" if other else ""


def _few(found: list[str]) -> str:
    more = len(found) - MOST_NAMED
    return ", ".join(found[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
