"""Thousands of broken files through every command that reads: a sentence and exit 2, or it is read; no traceback.

Each file is made from a sound one by a few random changes, drawn from the number of the case: a failure names it, and
`mutated` makes the same again.
"""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from forked_commands import Commands, Ended, commands
from written_runs import Written, constant, out

from cosim.stored_files import list_files

ROOT = Path(__file__).parents[1]
FILES = ROOT / "tests/fuzz"
EXAMPLES = ROOT / "docs/examples"
SHIPPED = sorted((ROOT / "runs/scenarios").glob("*.yaml"))
SCENARIOS = (
    *(path for path in SHIPPED if path.stem not in ("interconnection", "usa_snapshot", "region")),  # seconds to wire
    *sorted((ROOT / "tests/bad_scenarios").glob("*.yaml"))[::4],
)
DATA = {"grid": ".m", "own": ".glm", "demand": ".csv", "weather": ".csv"}  #: each named by a scenario of its name
TABLE = (EXAMPLES / "victoria_summer.csv",)
CSV = (FILES / "demand.csv",)
BATCH = FILES / "batch.yaml"

MOST_SECONDS, MOST_MEMORY = 5.0, 500.0  #: of processor time; [MB]

#: What a file may hold in place of a word.
WORDS = Path(__file__).with_name("fuzz").joinpath("words.txt").read_text(encoding="utf-8").splitlines()


def spoiled_word(draw: random.Random) -> str:
    return draw.choice(
        (*WORDS, str(draw.uniform(-1e6, 1e6)), "x" * draw.randrange(1, 3000), chr(draw.randrange(1, 0x3000)))
    )


def _line_lost(lines: list[str], draw: random.Random) -> None:
    del lines[draw.randrange(len(lines))]


def _line_twice(lines: list[str], draw: random.Random) -> None:
    at = draw.randrange(len(lines))
    lines.insert(draw.randrange(len(lines) + 1), lines[at])


def _lines_swapped(lines: list[str], draw: random.Random) -> None:
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]


def _word_spoiled(lines: list[str], draw: random.Random) -> None:
    at = draw.randrange(len(lines))
    parts = lines[at].replace(",", " , ").split(" ")
    parts[draw.randrange(len(parts))] = spoiled_word(draw)
    lines[at] = " ".join(parts)


def _value_spoiled(lines: list[str], draw: random.Random) -> None:
    at = draw.randrange(len(lines))
    key, colon, _ = lines[at].partition(": ")
    lines[at] = f"{key}: {spoiled_word(draw)}" if colon else lines[at] + spoiled_word(draw)


def _moved(lines: list[str], draw: random.Random) -> None:
    at = draw.randrange(len(lines))
    lines[at] = " " * draw.randrange(8) + lines[at].lstrip()


def _cut(lines: list[str], draw: random.Random) -> None:
    del lines[draw.randrange(1, len(lines) + 1) :]


CHANGES: tuple[Callable[[list[str], random.Random], None], ...] = (
    _line_lost,
    _line_twice,
    _lines_swapped,
    _word_spoiled,
    _value_spoiled,
    _value_spoiled,
    _moved,
    _cut,
)


def mutated(path: Path, number: int) -> bytes:
    """The file's text with a few changes, and at times bytes that are no text."""
    draw = random.Random(f"{path.name} {number}")
    content = path.read_bytes()
    if draw.random() < 0.85:
        lines = content.decode(errors="replace").splitlines() or [""]
        for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
            draw.choice(CHANGES)(lines, draw)
            lines = lines or [""]
        return "\n".join(lines).encode("utf-8", "surrogatepass")
    data = bytearray(content)
    for _ in range(draw.choice((1, 3, 30))):
        data[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(data[: draw.choice((len(data), len(data), draw.randrange(len(data))))])


@dataclass(frozen=True)
class Source:
    """A sound file, and the command that reads it or what names it."""

    path: Path
    command: tuple[str, ...]  #: `{}` stands for the file's folder
    beside: tuple[Path, ...] = ()  #: files that the command needs, too
    codes: tuple[int, ...] = (0, 2)

    @property
    def name(self) -> str:
        return f"{self.command[0]} {self.path.name}"


def _named(file: str, scenario: str) -> Source:
    """A file of `tests/fuzz` that a scenario there names."""
    return Source(FILES / file, ("validate", f"{{}}/{scenario}"), (FILES / scenario,))


SOURCES = (
    *(Source(path, ("validate", f"{{}}/{path.name}")) for path in SCENARIOS),
    *(Source(path, ("wire", f"{{}}/{path.name}", "--json")) for path in SCENARIOS[:3]),
    *(_named(f"{name}{end}", f"{name}.yaml") for name, end in DATA.items()),
    Source(FILES / "trace.csv", ("comply", "{}/trace.csv", "--category", "III"), codes=(0, 2, 3)),
    Source(FILES / "wave.csv", ("respond", "{}/wave.csv")),
    Source(EXAMPLES / "victoria_summer.yaml", ("calibrate", "{}/victoria_summer.yaml", "--check"), TABLE),
    Source(TABLE[0], ("calibrate", "{}/victoria_summer.yaml", "--check"), (EXAMPLES / "victoria_summer.yaml",)),
    Source(BATCH, ("batch", f"{{}}/{BATCH.name}", "--dry-run", "--out", "{}/out"), (FILES / "demand.yaml", *CSV)),
)


def check(ended: Ended, codes: Sequence[int], what: str) -> None:
    """Hold the end of a command against what is promised of wrong input."""
    assert ended.code in codes, f"{what}: exit {ended.code}\n{ended.said[-2000:]}"
    assert "Traceback" not in ended.said, f"{what}\n{ended.said[-3000:]}"
    assert ended.code != 2 or "cosim: " in ended.said, f"{what}: no sentence\n{ended.said[-500:]}"
    assert ended.seconds < MOST_SECONDS, f"{what}: {ended.seconds:.1f} s"
    assert ended.memory < MOST_MEMORY, f"{what}: {ended.memory:.0f} MB"


def try_file(run: Commands, source: Source, number: int, folder: Path) -> None:
    """One broken file through its command."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in source.beside:
        shutil.copy(path, folder)
    (folder / source.path.name).write_bytes(mutated(source.path, number))
    words = [word.replace("{}", str(folder)) for word in source.command]
    check(run(words), source.codes, f"{source.name}, number {number}")


def sound_run(folder: Path) -> Path:
    """A run with its twin, as `cosim run` leaves it."""
    draw = np.random.default_rng(1)
    outputs = {"a": [(out("x", "1"), draw.normal(size=144)), (out("y", "1"), constant(2.0))]}
    Written(outputs).write(folder / "run", baseline=Written(outputs))
    list_files(folder / "run")
    return folder / "run"


def damage(folder: Path, number: int) -> None:
    """Change, cut, empty, remove or replace some files of a run's folder."""
    draw = random.Random(number)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in draw.sample(files, draw.choice((1, 1, 2, 5))):
        how = draw.randrange(6)
        if how == 0:
            path.unlink()
        elif how == 1:
            path.write_bytes(b"")
        elif how == 2:
            path.unlink()
            path.mkdir()
        elif path.suffix == ".json" or path.name.startswith("."):
            path.write_bytes(mutated(path, number))
        else:
            path.write_bytes(path.read_bytes()[: draw.randrange(1, 50)] + bytes(draw.randrange(256) for _ in range(9)))


WENT_WRONG = (47, 107)  #: damaged runs that once did: values that are no numbers in `compare`

#: Commands that read a run's folder; 1 is a run that cannot be trusted.
READ_A_RUN = (("report", "{}"), ("verify", "{}"), ("compare", "{}", "{}"), ("recover", "{}"), ("comply", "{}"))


def try_run_folder(run: Commands, sound: Path, number: int, folder: Path) -> None:
    """One damaged folder through a command."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder)
    damage(folder, number)
    words = [word.replace("{}", str(folder)) for word in READ_A_RUN[number % len(READ_A_RUN)]]
    check(run(words), (0, 1, 2, 3), f"{words[0]} of a damaged run, number {number}")


def cases(each: int) -> Iterator[tuple[Source, int]]:
    for source in SOURCES:
        yield from ((source, number) for number in range(each))


@pytest.mark.timeout(600)
def test_some_broken_files(tmp_path: Path) -> None:
    with commands(tmp_path) as run:
        for source, number in list(cases(1))[::3]:
            try_file(run, source, number + 100_000, tmp_path / "case")
        sound = sound_run(tmp_path)
        for number in (*range(100_000, 100_008), *WENT_WRONG):
            try_run_folder(run, sound, number, tmp_path / "damaged")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_thousand_broken_files(tmp_path: Path) -> None:
    each = math.ceil(1800 / len(SOURCES))
    with commands(tmp_path) as run:
        for source, number in cases(each):
            try_file(run, source, number, tmp_path / "case")
        sound = sound_run(tmp_path)
        for number in range(300):
            try_run_folder(run, sound, number, tmp_path / "damaged")
