"""Nobody but its owner: another user of the machine reads no key, joins nothing, has nothing run, writes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from runs.cli import app
from tests.batches import small_scenario, wait_until, write_batch_file

INTRUDER = Path(__file__).parent / "intruder.py"
ROOT = Path(__file__).parents[1]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter and list, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="test-other-user-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextlib.contextmanager
def command(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A command line, as a user starts it."""
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    process = subprocess.Popen([sys.executable, "-m", "runs.cli", *words], cwd=ROOT, **quiet)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """It and all that came of it."""
    first = psutil.Process(process.pid)
    return [first, *first.children(recursive=True)]


def listening(processes: list[psutil.Process]) -> list[int]:
    """The ports on which they listen, which must be on the loopback alone."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            for entry in process.net_connections("tcp"):
                if entry.status == psutil.CONN_LISTEN:
                    assert entry.laddr.ip in ("127.0.0.1", "::1")
                    found.append(entry.laddr.port)
    return sorted(set(found))


@pytest.mark.long
@pytest.mark.timeout(400)
def test_another_user_gets_nothing(open_folder: Path) -> None:
    """A run and a batch of root go on while nobody tries; the run ends well after it."""
    if os.geteuid() != 0:
        pytest.skip("only root can try as another user")
    scenario = open_folder / "scenario.yaml"
    model = small_scenario("1 h")
    model["federates"][0]["model"]["kind"] = str(Path(__file__).parent / "models" / "numbered.py")
    model["federates"][0]["model"]["pause"] = 1.0
    model["placement"] = "separate"
    scenario.write_text(json.dumps(model))
    file = write_batch_file(open_folder / "file", small_scenario(fault="sleep"), [{"seeds": {"count": 1}}])
    with (
        command("run", str(scenario), "--out", str(open_folder / "run"), "--no-report") as run,
        command("batch", str(file), "--out", str(open_folder / "batch"), "--workers", "1") as batch,
    ):
        key = open_folder / "run/.scratch/broker.json"
        wait_until(
            lambda: key.exists() and list(open_folder.glob("batch/.work/0001/*/.scratch/*.rows")), 120, "both run"
        )
        broker = json.loads(key.read_text())
        processes = [*family(run), *family(batch)]
        assert not any(broker["key"] in " ".join(process.cmdline()) for process in processes)
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (key, key.parent, open_folder / "batch/.work")}
        assert list(modes.values()) == [0o600, 0o700, 0o700]
        unix = [line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if "@cosim-" in line]
        known = {
            "folder": str(open_folder),
            "ports": listening(processes),
            "dask": listening([one for one in family(batch) if "cosim.engine" not in " ".join(one.cmdline())]),
            "broker": broker["port"],
            "names": [name.removeprefix("@") for name in unix],
            "processes": [process.pid for process in processes],
        }
        assert len(known["ports"]) > len(known["dask"]) >= 3
        assert known["names"]
        tried = subprocess.run(
            [sys.executable, str(INTRUDER)], input=json.dumps(known), capture_output=True, text=True, timeout=240
        )
        assert tried.returncode == 0, tried.stderr
        assert json.loads(tried.stdout) == []
        _, told = run.communicate(timeout=120)
        assert run.returncode == 0, told


def test_files_of_tls_are_checked(tmp_path: Path) -> None:
    """All three or none, readable, and for an address that speaks TLS."""
    from typer.testing import CliRunner

    file = write_batch_file(tmp_path, small_scenario("10 min"), [{"seeds": {"count": 1}}])
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text("")
    words = ["batch", str(file), "--out", str(tmp_path / "out")]
    given = [f"--tls-{name}={tmp_path / name}" for name in ("ca", "cert", "key")]
    for options, told in (
        (["--scheduler", "tls://127.0.0.1:9", given[0]], "--tls-cert: is missing: TLS needs all of"),
        (["--scheduler", "tcp://127.0.0.1:9", *given], "is an address without TLS, for which files are given"),
        (["--scheduler", "tls://127.0.0.1:9"], "is an address with TLS, for which no files are given"),
        (["--scheduler", "tls://127.0.0.1:9", *given[:2], "--tls-key=/nowhere"], "/nowhere cannot be read"),
        (given, "for a scheduler elsewhere; give --scheduler too"),
    ):
        done = CliRunner().invoke(app, [*words, *options])
        assert done.exit_code != 0
        said = " ".join(f"{done.exception} {done.output}".replace("│", " ").split())  # a box breaks its lines
        assert told in said, (options, said)


@pytest.mark.parametrize(
    ("addresses", "told"),
    [
        (["tcp://127.0.0.1:8786", "tcp://[::1]:40001", "tls://10.0.0.1:8786", "inproc://127.0.0.1/1/2"], ""),
        (["tls://10.0.0.1:8786", "tcp://10.0.0.2:40001"], "tcp://10.0.0.2:40001 listens without TLS"),
        (["tcp://login-node:8786"], "tcp://login-node:8786 listens without TLS"),
    ],
)
def test_what_other_machines_can_reach_without_tls_is_said(addresses: list[str], told: str) -> None:
    from runs.dask_clusters import unprotected

    found = unprotected(addresses)
    assert told in found
    assert bool(told) == bool(found)
