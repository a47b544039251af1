"""`cosim verify`: whether a run or a batch is stored as it was written, byte by byte."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from cosim.batch_folder import Batch, batch_problems, is_batch
from cosim.settings import Settings
from cosim.simulation import open_run
from cosim.stored_files import stored_size

if TYPE_CHECKING:
    from rich.console import Console

MOST_SHOWN = 20


class Verified(Settings):
    """What was found."""

    folder: str
    good: bool
    """As it was written, complete, and to be trusted."""
    damage: tuple[str, ...]
    """What is not as it was written, or missing."""
    contents: str
    """What is there, in words."""
    doubt: str = ""
    """Why what is stored as it was written cannot be trusted; "" if it can."""


def verify_folder(folder: Path) -> Verified:
    """Hold every byte in the folder of a run or a batch against what was written. Raises ResultsError if it is none."""
    return _of_batch(folder) if is_batch(folder) else _of_run(folder)


def _of_run(folder: Path) -> Verified:
    run = open_run(folder)
    damage, (files, size) = run.damage, stored_size(folder)
    doubt = ""
    if not damage and not run.trustworthy:
        doubt = run.cause or "checks of its verdict failed; see verdict.json"
    contents = f"{files:,} files, {size / 1e6:,.1f} MB"
    return Verified(folder=str(folder), good=not damage and not doubt, damage=damage, contents=contents, doubt=doubt)


def _of_batch(folder: Path) -> Verified:
    damage = tuple(map(str, batch_problems(folder, verify=True)))
    if damage:
        return Verified(folder=str(folder), good=False, damage=damage, contents="a batch")
    outcomes = Counter(Batch(folder).table["outcome"])
    contents = f"{sum(outcomes.values()):,} runs, all that were planned"
    doubt = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items() if outcome != "good")
    return Verified(folder=str(folder), good=not doubt, damage=(), contents=contents, doubt=doubt)


def print_verified(found: Verified, console: Console) -> None:
    """Print it."""
    from rich.text import Text

    if not found.damage:
        console.print(Text(f"{found.folder} is stored as it was written: {found.contents}"), soft_wrap=True)
        if found.doubt:
            console.print(Text(f"It cannot be trusted all the same: {found.doubt}", "red"), soft_wrap=True)
        return
    console.print(Text(f"{found.folder} is not as it was written:", "red"), soft_wrap=True)
    for text in found.damage[:MOST_SHOWN]:
        console.print(Text(f"  {text}"), soft_wrap=True)
    if len(found.damage) > MOST_SHOWN:
        console.print(f"  and {len(found.damage) - MOST_SHOWN} more")
