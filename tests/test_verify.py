"""A run's figures are judged from the bytes on disk: what was removed or altered is named, by every command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner
from written_runs import Written, constant, out

import cosim
from cosim.errors import ResultsError
from cosim.simulation import replay
from cosim.stored_arrays import ArrayWriter
from cosim.stored_files import FILES, list_files
from runs.batch.keep import keep_only
from runs.cli import app
from runs.compare import compare


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A good run with its twin, stored as `cosim run` leaves it."""
    rng = np.random.default_rng(1)
    outputs = {
        "a": [(out("x", "1"), rng.normal(size=144)), (out("y", "1"), constant(2.0))],
        "b": [(out("z", "1"), rng.normal(size=144))],
    }
    Written(outputs).write(tmp_path / "run", baseline=Written(outputs))
    list_files(tmp_path / "run")
    return tmp_path / "run"


def flip(path: Path) -> None:
    """Change one byte in the midst of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x01
    path.write_bytes(content)


def replace_values(folder: Path) -> None:
    """Other values, stored in good order as any program could: nothing but their hash tells."""
    chunk = folder / "results.zarr/a/x/0"
    spare = folder.parent / "spare"
    ArrayWriter(spare, np.dtype("float64"), (), 24, {}).write(0, np.zeros(24))
    chunk.write_bytes((spare / "0").read_bytes())


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (lambda run: shutil.rmtree(run / "results.zarr/a"), "results.zarr/a is missing"),
    (lambda run: flip(run / "results.zarr/a/x/2"), "results.zarr/a/x/2 holds other bytes than were written"),
    (lambda run: (run / "results.zarr/b/z/0").write_bytes(b""), "results.zarr/b/z/0 has 0 bytes instead of"),
    (lambda run: (run / "results.zarr/a/y/1").unlink(), "results.zarr/a/y/1 is missing"),
    (lambda run: shutil.copytree(run / "results.zarr/b", run / "results.zarr/c"), "results.zarr/c/.zattrs was added"),
    (lambda run: flip(run / "baseline/results.zarr/a/x/2"), "baseline/results.zarr/a/x/2 holds other bytes"),
    (lambda run: flip(run / "verdict.json"), "verdict.json holds other bytes"),
    (replace_values, "results.zarr/a/x/0 "),
]


@pytest.mark.parametrize(("damage", "named"), DAMAGE, ids=range(len(DAMAGE)))
def test_damage_is_named_and_no_command_takes_the_run_for_good(
    whole: Path, damage: Callable[[Path], object], named: str
) -> None:
    """The copy that was compared with its damaged original was once called bit-identical and trustworthy."""
    copy = Path(shutil.copytree(whole, whole.with_name("copy")))
    assert cosim.open(whole).trustworthy
    assert compare(cosim.open(copy), cosim.open(whole)).identical
    assert CliRunner().invoke(app, ["verify", str(whole)]).exit_code == 0
    damage(whole)
    if named.startswith("verdict"):
        assert cosim.open(whole).damage == (f"{named} than were written",)
    else:
        assert not cosim.open(whole).trustworthy
    verified = CliRunner().invoke(app, ["verify", str(whole)])
    assert verified.exit_code == 1
    assert named in verified.stdout
    compared = CliRunner().invoke(app, ["compare", str(copy), str(whole), "--json"])
    if compared.exception is None or isinstance(compared.exception, SystemExit):
        told = json.loads(compared.stdout)
        assert compared.exit_code == 1
        assert not told["identical"]
        assert named in " ".join(told["second_damage"])
    else:  # what cannot be read cannot be compared
        assert isinstance(compared.exception, ResultsError)
    with pytest.raises(ResultsError, match="is damaged, there is nothing to hold a replay against: "):
        replay(whole, whole.with_name("again"))
    reported = CliRunner().invoke(app, ["report", str(whole)])
    assert isinstance(reported.exception, ResultsError)
    assert named in str(reported.exception)


@pytest.mark.parametrize(("damage", "named"), [DAMAGE[0], DAMAGE[-1]], ids=["group", "values"])
def test_without_a_list_of_files_the_digest_tells(whole: Path, damage: Callable[[Path], object], named: str) -> None:
    (whole / FILES).unlink()
    assert cosim.open(whole).trustworthy
    damage(whole)
    run = cosim.open(whole)
    assert not run.trustworthy
    assert run.damage == ("results.zarr holds other values than those of which manifest.json has the digest",)


def test_a_list_that_was_altered_too_does_not_help(whole: Path) -> None:
    replace_values(whole)
    list_files(whole)
    assert "other values than those of which manifest.json has the digest" in cosim.open(whole).damage[0]


def test_what_a_batch_has_dropped_is_no_damage_and_what_it_kept_is_checked(whole: Path) -> None:
    keep_only(cosim.open(whole), ["a.x"])
    (whole / FILES).unlink()
    assert cosim.open(whole).damage == ()
    replace_values(whole)
    assert "manifest.json has the kept_digest" in cosim.open(whole).damage[0]


def test_a_run_that_failed_is_verified_as_it_is(tmp_path: Path) -> None:
    Written({"a": [(out("x", "1"), constant(1.0))]}, fault="'a' died").write(tmp_path / "run")
    done = CliRunner().invoke(app, ["verify", str(tmp_path / "run")])
    assert done.exit_code == 1
    assert "is stored as it was written" in done.stdout
    assert "cannot be trusted all the same: 'a' died" in done.stdout
