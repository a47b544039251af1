"""Signals at any time, streams that nobody reads, and what processes leave behind: a run ends in order."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import cosim
from cosim.engine import process_log
from cosim.engine.printable import printable
from cosim.scenario import from_mapping

SLOW = '''
import subprocess
import sys
import time

import numpy as np
from cosim.contract import Exchange, Federate, Port
from cosim.settings import Settings


class Slow(Federate):
    """Takes its time, and does what it is told."""

    needs_process = True

    class Config(Settings):
        pause: float = 0.0
        """."""
        act: str = ""
        """."""

    def ports(self):
        return (Port("k", "1", "out", "one"),)

    def solve(self, time_ns, inputs):
        time.sleep(self.config.pause)
        if self.config.act == "says much" and time_ns == 0:
            print("the first line")
            for _ in range(1000):
                sys.stdout.write("spam " * 20_000)
            print("the last line \\x1b[31m")
            sys.stdout.flush()
        if self.config.act == "starts a daemon" and time_ns == 0:
            subprocess.Popen(["sleep", "613"], start_new_session=True)
        if self.config.act == "starts an orphan" and time_ns == 0:
            subprocess.run(["sh", "-c", "setsid sleep 617 & exit"], check=True)
        if self.config.act == "surrogates":
            raise ValueError("bad \\udcff text \\x1b[31mred\\x00nul")
        if self.config.act == "no text":
            class Mute(Exception):
                def __str__(self):
                    raise RuntimeError("none")
            raise Mute
        if self.config.act == "masked":
            return Exchange({"k": np.ma.masked_array(1.0, mask=True)})
        return Exchange({"k": np.asarray(1.0)})
'''


def scenario(folder: Path, hours: float = 1, **settings: object) -> Path:
    (folder / "slow.py").write_text(SLOW)
    path = folder / "s.yaml"
    model = json.dumps({"kind": "slow.py", **settings})
    path.write_text(
        f"name: slow\nhorizon: {{start: 2014-01-16 00:00, duration: {hours:g} h, step: 60 s}}\n"
        f"federates:\n  - {{name: a, model: {model}}}\n"
    )
    return path


def command(path: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "runs.cli", "run", str(path), "--out", str(out)]


def left_behind(words: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if words in " ".join(p.info["cmdline"] or ())]


def check_interrupted(done: subprocess.CompletedProcess[str] | None, code: int, error: str, out: Path) -> None:
    """130, a verdict if there is a folder, and nothing else left."""
    assert code == 130, error
    assert "Traceback" not in error
    assert not (out / ".scratch").exists()
    if out.exists():
        assert "interrupted" in json.loads((out / "verdict.json").read_text())["fault"]


def interrupt(path: Path, out: Path, first: float, between: float, signals: tuple[int, int]) -> bool:
    """Send two signals; whether the run had begun."""
    child = subprocess.Popen(command(path, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    began = time.monotonic()
    while not (out / ".scratch").exists() and time.monotonic() - began < first:
        time.sleep(0.01)
    time.sleep(max(0.0, first - (time.monotonic() - began)))
    for number in signals:
        child.send_signal(number)
        time.sleep(between)
    _, error = child.communicate(timeout=120)
    check_interrupted(None, child.returncode, error, out)
    return out.exists()


@pytest.mark.parametrize(
    ("between", "signals"),
    [
        (0.001, (signal.SIGTERM, signal.SIGINT)),
        (0.3, (signal.SIGINT, signal.SIGINT)),
        (0.05, (signal.SIGHUP, signal.SIGTERM)),
    ],
)
def test_two_signals_end_a_run_once(tmp_path: Path, between: float, signals: tuple[int, int]) -> None:
    path, out = scenario(tmp_path, hours=240, pause=0.01), tmp_path / "out"
    first = 3.0
    while not interrupt(path, out, first, between, signals) and first < 60:  # a busy machine takes longer to begin
        first *= 2
    assert cosim.open(out).cause


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_signals_at_any_time(tmp_path: Path) -> None:
    """From the first import to the report."""
    draw = random.Random(1)
    for number in range(40):
        path = scenario(tmp_path, hours=2, pause=0.01)
        out, signals = (
            tmp_path / f"out{number}",
            tuple(draw.choices((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), k=2)),
        )
        child = subprocess.Popen(command(path, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(draw.uniform(0.15, 6.0))  # Python itself takes the first tenth of a second
        for one in signals:
            child.send_signal(one)
            time.sleep(draw.choice((0.0, 0.01, 0.1, 1.0)))
        _, error = child.communicate(timeout=120)
        assert child.returncode in (0, 130), error
        assert "Traceback" not in error
        assert not (out / ".scratch").exists()
        assert not out.exists() or (out / "verdict.json").is_file()


@pytest.mark.parametrize("streams", ["head", "full", "closed", "ascii"])
def test_streams_that_take_nothing_leave_a_good_run_good(tmp_path: Path, streams: str) -> None:
    out = tmp_path / "out"
    words = " ".join(command(scenario(tmp_path), out))
    environment = {**os.environ, **({"PYTHONIOENCODING": "ascii"} if streams == "ascii" else {})}
    line = {
        "head": f"set -o pipefail; {words} 2>&1 | head -1",
        "full": f"{words} >/dev/full 2>/dev/full",
        "closed": f"{words} >&- 2>&- <&-",
        "ascii": words,
    }[streams]
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert cosim.open(out).trustworthy


def test_a_working_folder_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = f"cd {gone}; rmdir {gone}; {sys.executable} -m runs.cli list"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, timeout=60, env=environment
    )
    assert done.returncode == 2
    assert "the working folder no longer exists" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("act", "words"), [("starts a daemon", "sleep 613"), ("starts an orphan", "sleep 617")])
def test_what_leaves_its_session_ends_with_the_run(tmp_path: Path, act: str, words: str) -> None:
    run = cosim.run(scenario(tmp_path, act=act), tmp_path / "out")
    assert run.trustworthy
    assert left_behind(words) == []


def test_a_federate_that_says_much(tmp_path: Path) -> None:
    """A hundred megabytes are said, sixteen kept; a terminal's orders are shown, not obeyed."""
    run = cosim.run(scenario(tmp_path, act="says much"), tmp_path / "out")
    assert run.trustworthy
    log = run.folder / "run.log"
    text = log.read_text(encoding="utf-8")
    assert log.stat().st_size < process_log.KEPT + 10_000
    assert "the first line" in text
    assert r"the last line \x1b[31m" in text
    assert "83,222,819 bytes are left out here" in text  # 1000 times 100,000, two lines, less 16 MiB
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ("surrogates", r"bad \udcff text \x1b[31mred\x00nul"),
        ("no text", "its text cannot be made (RuntimeError)"),
        ("masked", "output 'k' [1] holds masked values"),
    ],
)
def test_errors_that_are_hard_to_say(tmp_path: Path, act: str, words: str) -> None:
    run = cosim.run(scenario(tmp_path, act=act), tmp_path / "out")
    assert not run.trustworthy
    assert words in (run.cause or "")


def test_what_can_be_shown() -> None:
    assert printable("a\tb\nc") == "a\tb\nc"
    assert printable("\x1b]0;title\x07\x9b\u202e") == r"\x1b]0;title\x07\x9b\u202e"
    assert printable("x" * 30, longest=10) == "xxxxxxxxxx... (20 characters more)"


def test_what_a_killed_run_had_recorded_is_recovered(tmp_path: Path) -> None:
    """`cosim` is killed with SIGKILL while it runs; its processes end with it, their journals stay."""
    path, out = scenario(tmp_path, hours=240, pause=0.01), tmp_path / "out"
    child = subprocess.Popen(
        [*command(path, out), "--crash-safe"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    journal = out / ".scratch" / "a.rows"
    until = time.monotonic() + 60
    while not (journal.exists() and journal.stat().st_size > 16 * 50) and time.monotonic() < until:
        time.sleep(0.05)
    child.kill()
    child.wait()
    time.sleep(0.5)  # its processes hear of it
    rows = journal.stat().st_size // 16
    assert rows >= 50
    recovered = [sys.executable, "-m", "runs.cli", "recover", str(out)]
    done = subprocess.run(recovered, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"{rows} steps of a" in done.stdout
    run = cosim.open(out)
    assert run.results["a"]["k"].sizes["time"] == rows
    assert not run.trustworthy
    assert "killed" in (run.cause or "")
    assert not (out / ".scratch").exists()
    again = subprocess.run(recovered, capture_output=True, text=True, check=False, timeout=60)
    assert again.returncode == 2
    assert "nothing to recover" in again.stderr


@pytest.mark.parametrize(("step", "duration", "files"), [("1 h", "366 d", 9), ("60 s", "2 d", 3), ("1 s", "12 h", 2)])
def test_few_files_a_day(step: str, duration: str, files: int) -> None:
    """A year of hours is nine chunks of a variable, a day of seconds four."""
    text = {"name": "t", "horizon": {"start": "2014-01-01 00:00", "duration": duration, "step": step}}
    federation = cosim.wire(from_mapping({**text, "demand": {"table": None}}))
    (spec,) = (spec for spec in federation.federates if spec.name == "demand")
    rows = federation.duration // (spec.step or federation.step)
    assert -(-rows // federation.rows_per_chunk(spec)) == files
