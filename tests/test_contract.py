"""Every federate kind keeps the contract of cosim/contract.py, without HELICS and without patching.

A kind's case is `contract_cases/<kind>.yaml`: `settings`; `inputs` with a value for each input that has no initial one;
`messages` that come at the first step. A kind without a case fails. Each life is led in a process of its own, as
engines may be process-wide: forked from one of two that have imported what all kinds need; this file is their program.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cosim.contract import Context, Exchange, Federate, Message, Port
from cosim.engine.launcher import ONE_THREAD
from cosim.registry import federate_class, federate_kinds
from cosim.stock_balance import ENERGY_UNITS, stock_faults
from cosim.units import UNITS

CASES = Path(__file__).parent / "contract_cases"
MINUTE = 60 * 10**9
STEPS = 3
ENDED = "life ended with"


def context(seed: int = 7) -> Context:
    return Context("model", seed, datetime(2014, 1, 16, 12), 60 * MINUTE, MINUTE)


def build(kind: str, seed: int = 7) -> tuple[Federate, dict[str, Any]]:
    case = yaml.safe_load((CASES / f"{kind}.yaml").read_text()) or {}
    found = federate_class(kind)
    return found(found.Config.model_validate(case.get("settings", {})), context(seed)), case


def inputs_of(ports: list[Port], case: dict[str, Any], factor: float = 1.0) -> Exchange:
    """A value for every input: the case's or the initial one, times `factor`."""
    values = {}
    for port in ports:
        if port.direction == "in":
            value = case.get("inputs", {}).get(port.name, port.initial)
            assert value is not None, f"the case has no value for the input '{port.name}'"
            kind = complex if port.is_complex else float
            values[port.name] = np.array(np.broadcast_to(np.asarray(value, dtype=kind) * factor, port.shape))
    return Exchange(values)


def messages_of(case: dict[str, Any]) -> list[Message]:
    return [Message(**entry) for entry in case.get("messages", [])]


def run_through(kind: str) -> str:
    """Step a federate through its life, holding every call against the contract; the digest of all it gave."""
    from cosim.engine.inputs import check_next_time
    from cosim.engine.outputs import Outputs

    federate, case = build(kind)
    ports = list(federate.ports())
    outputs = Outputs([port for port in ports if port.direction == "out"])
    total = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        federate.start(Path(folder))
        assert list(federate.ports()) == ports, "ports must not change with start"
        time = federate.next_time(-1)
        assert time is not None
        assert time % MINUTE == 0
        for step in range(STEPS):
            given = Exchange(inputs_of(ports, case).values, messages_of(case) if step == 0 else ())
            before = {name: value.copy() for name, value in given.values.items()}
            solution = federate.solve(time, given)
            unchanged = (np.array_equal(before[name], given.values[name], equal_nan=True) for name in before)
            assert all(unchanged), "inputs were changed"
            outputs.accept(solution)
            checked = {name: value.copy() for name, value in outputs.arrays.items()}
            if federate.iterative:
                federate.solve(time, Exchange(inputs_of(ports, case, factor=0.97).values))
                outputs.accept(federate.solve(time, Exchange(given.values)))
                for name, value in outputs.arrays.items():
                    assert np.array_equal(value, checked[name]), f"'{name}' differs when a step is repeated"
            for message in solution.messages:
                json.dumps(dict(message.payload), allow_nan=False)
                if federate.messaging == "agent":
                    assert message.sent == time
                    assert message.source.partition("/")[0] == "model"
            if federate.messaging == "none":
                assert not solution.messages
            for name in sorted(checked):
                total.update(name.encode() + np.ascontiguousarray(checked[name]).tobytes())
            total.update(json.dumps([vars(message) for message in solution.messages], sort_keys=True).encode())
            federate.commit(time)
            following = federate.next_time(time)
            assert following == federate.next_time(time), "next_time must give the same when asked again"
            check_next_time(time, following, MINUTE)
            assert following is not None
            time = following
        federate.close()
        federate.close()
    assert "helics" not in sys.modules, "a federate does not import HELICS"
    return total.hexdigest()


class Parent:
    """A process that forks one for each life that it is asked for. It has imported no engine, and its own hash seed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, **ONE_THREAD},
        )

    def life(self, kind: str) -> tuple[bool, str]:
        """Whether a life of the kind went well, and the digest of all it gave, or what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(kind, file=self._process.stdin, flush=True)
        said = ""
        for line in self._process.stdout:
            if line.startswith(ENDED):
                return line.split()[-1] == "0", said
            said += line
        return False, said

    def close(self) -> None:
        """End it, and a life that goes on."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate(timeout=20)


@pytest.fixture(scope="module")
def parents() -> Iterator[list[Parent]]:
    found = [Parent() for _ in range(2)]
    yield found
    for parent in found:
        parent.close()


def fork_lives() -> None:
    """Fork a process for each kind that is read; its exit code follows what it says."""
    import cosim.engine.inputs  # noqa: F401

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                print(run_through(line.strip()))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(f"\n{ENDED} {os.waitstatus_to_exitcode(status)}", flush=True)


#: What a kind needs beyond the project's requirements: the module, and the extra that brings it
EXTRAS = {"andes_dynamics": ("andes", "dynamics")}


def marked(kind: str) -> Any:
    """A kind, skipped where what it needs is not installed."""
    module, extra = EXTRAS.get(kind, ("", ""))
    absent = bool(module) and importlib.util.find_spec(module) is None
    reason = f'{module} is an optional extra: pip install "cosim[{extra}]"'
    return pytest.param(kind, marks=pytest.mark.skipif(absent, reason=reason))


KINDS = pytest.mark.parametrize("kind", [marked(kind) for kind in federate_kinds()])


def test_every_kind_has_a_case_and_every_case_a_kind() -> None:
    assert sorted(path.stem for path in CASES.glob("*.yaml")) == federate_kinds()


@KINDS
def test_ports_are_well_formed(kind: str) -> None:
    federate, _ = build(kind)
    ports = list(federate.ports())
    assert ports
    assert len({(port.name, port.direction) for port in ports}) == len(ports)
    for port in ports:
        assert port.unit in UNITS, port
        assert port.direction in ("in", "out")
        assert port.title.strip(), port
        assert port.direction == "in" or port.initial is None, port
        assert port.direction == "out" or (port.limit, port.range, port.expected) == (None, None, None), port
        assert all(low <= high for low, high in (port.range or (0, 0), port.expected or (0, 0))), port
        for labels in port.coordinates.values():
            assert len(set(labels)) == len(labels), port
            assert all(isinstance(label, str) and label for label in labels), port
    assert ports == list(federate.ports()), "ports must give the same when asked again"
    assert ports == list(build(kind)[0].ports()), "ports must depend on the settings only"


@KINDS
def test_every_energy_is_a_stock_or_says_why_not(kind: str) -> None:
    federate, _ = build(kind)
    ports, stocks = list(federate.ports()), list(federate.stocks())
    assert not list(stock_faults(ports, stocks))
    energies = {port.name for port in ports if port.direction == "out" and port.unit in ENERGY_UNITS}
    flows = {flow.output for stock in stocks for flow in stock.flows}
    assert energies == {stock.energy for stock in stocks} | (energies & flows)
    assert stocks == list(federate.stocks()), "stocks must give the same when asked again"


@KINDS
def test_settings_survive_their_way_to_another_process(kind: str) -> None:
    federate, _ = build(kind)
    config = type(federate).Config
    sent = json.loads(json.dumps(federate.config.model_dump(mode="json"), allow_nan=False))
    assert config.model_validate(sent) == federate.config


@KINDS
def test_every_setting_is_documented(kind: str) -> None:
    found = federate_class(kind)
    assert found.__doc__
    for name, field in found.Config.model_fields.items():
        assert field.description, f"{kind}.{name} has no docstring"


@KINDS
def test_two_lives_without_the_engine_are_equal(kind: str, parents: list[Parent]) -> None:
    """Each keeps the contract, and those of one seed give the same."""
    lives = [parent.life(kind) for parent in parents]
    for well, said in lives:
        assert well, said[-2000:]
    digests = [said.split()[-1] for _, said in lives]
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]


if __name__ == "__main__":
    fork_lives()
