"""The program of a federation's processes: builds its federates, joins them, steps them to the end.

Started by the supervisor as `python -m cosim.engine.host FOLDER PROCESS PARENT`. Federates of one process are
threads; a federate that is alone in its process runs in the main thread, as some engines demand.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading
import time as clock
import traceback
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from cosim.contract import Exchange, Time
from cosim.engine.connection import Broker, Connection, Core, SecondaryError
from cosim.engine.failure import Failure
from cosim.engine.files import BROKER_FILE, FEDERATION_FILE, ROUNDS
from cosim.engine.inputs import Inputs, check_next_time, check_outputs
from cosim.engine.journal import Column, JournalWriter
from cosim.engine.lifeline import die_with_parent
from cosim.engine.status import Phase, StatusTable
from cosim.errors import ContractError, CosimError
from cosim.federation import MAIN_PROCESS, SLOT, FederateSpec, Federation, IterationGroup

LEAVE_WITHIN = 5.0  #: [s] to take leave of the broker at the end


class Stepper:
    """Steps one federate: reads its inputs, lets it solve, publishes, commits, records."""

    def __init__(self, folder: Path, federation: Federation, spec: FederateSpec, status: StatusTable) -> None:
        self.folder, self.federation, self.spec, self.status = folder, federation, spec, status
        self.time: Time = 0
        self._row = status.row(spec.name)
        status.enter(spec.name, Phase.BUILDING)
        self.federate = federation.build(spec)
        self.ports = tuple(self.federate.ports())
        self.outputs = {port.name: port for port in self.ports if port.direction == "out"}
        self.links = federation.links_to(spec.name)
        self._inputs = Inputs(self.ports, self.links)
        self.group = None if spec.group is None else federation.groups[spec.group]
        self.leads = self.group is not None and self.group.members[0] == spec.name
        self._rounds = 0

    def start(self) -> None:
        """Start the federate's engine."""
        self.status.enter(self.spec.name, Phase.STARTING)
        scratch = self.folder / f"{self.spec.name}.scratch"
        scratch.mkdir()
        self.federate.start(scratch)
        self.status.enter(self.spec.name, Phase.JOINING)

    def connect(self, core: Core) -> None:
        """Register with HELICS and open the journal."""
        self.connection = Connection(core, self.federation, self.spec, self.federate, self.ports)
        self.journal = JournalWriter(self.folder, self.spec.name, self._columns())

    def _columns(self) -> list[Column]:
        excluded = self.federation.exclude
        kept = [p for p in self.outputs.values() if not any(fnmatch(f"{self.spec.name}.{p.name}", e) for e in excluded)]
        self._recorded = [port.name for port in kept]
        columns = [Column.of_port(port) for port in kept]
        columns += [self._inputs.column(link) for link in self.links if link.tolerance is not None]
        if self.leads:
            columns.append(Column(ROUNDS, "1", "rounds until the iterated coupling agreed", {}, is_complex=False))
        return columns

    def run(self) -> None:
        """Step to the end of the run."""
        self.connection.enter()
        time = self.federate.next_time(-1)
        while time is not None and time < self.federation.duration:
            self.time = time
            solution = self._solve_once(time) if self.group is None else self._solve_in_rounds(time, self.group)
            self.connection.send(solution.messages)
            self._commit(time, solution)
            following = self.federate.next_time(time)
            check_next_time(time, following, self.federation.step)
            time = following
        silent = self._inputs.silent()
        if silent:
            raise ContractError(f"link {silent[0]} carried nothing in the whole run")
        self.status.enter(self.spec.name, Phase.WAITING, self.federation.duration)
        self.connection.leave()

    def close(self) -> None:
        """Release what the federate took; a failure that comes first keeps its place."""
        failed = self._row["phase"] == Phase.FAILED
        if not failed:
            self.status.enter(self.spec.name, Phase.CLOSING)
        try:
            self.federate.close()
            self.journal.close()
        except BaseException as error:
            if not failed:
                write_failure(self.folder, self.status, self.spec.name, error)
        else:
            if not failed:
                self.status.enter(self.spec.name, Phase.DONE)

    def _wait(self, until: Time) -> None:
        self.status.enter(self.spec.name, Phase.WAITING)
        self.connection.request(until)
        self.status.enter(self.spec.name, Phase.COMPUTING, self.time)

    def _solve_once(self, time: Time) -> Exchange:
        self._wait(time + self.spec.slot * SLOT)
        self._inputs.read(self.connection, complete=True)
        return self._solve(time)

    def _solve_in_rounds(self, time: Time, group: IterationGroup) -> Exchange:
        """Repeat the solution until the group's leader finds that its inputs no longer change.

        Rounds are HELICS times a microsecond apart: the native iterative request exchanges stale values and
        takes a varying number of rounds.
        """
        solution = Exchange()
        for number in range(group.max_rounds + 1):
            self._wait(time + group.slot(self.spec.name, number) * SLOT)
            self._inputs.read(self.connection, complete=number > 0)
            last = number == group.max_rounds
            if self.leads:
                last = last or (number > 0 and self._inputs.agree())
                self.connection.signal(last)
            elif self.connection.signalled():
                last = True
            if last:
                self._rounds = number
                break
            solution = self._solve(time)
        return solution

    def _solve(self, time: Time) -> Exchange:
        inputs = self._inputs.take()
        before = clock.monotonic()
        solution = self.federate.solve(time, inputs)
        self._row["busy"] += clock.monotonic() - before
        checked = check_outputs(self.outputs, solution)
        self.connection.publish(checked)
        return Exchange(checked, solution.messages)

    def _commit(self, time: Time, solution: Exchange) -> None:
        self._inputs.messages = []
        before = clock.monotonic()
        self.federate.commit(time)
        self._row["busy"] += clock.monotonic() - before
        values = {name: solution.values[name] for name in self._recorded} | self._inputs.used()
        if self.leads:
            values[ROUNDS] = np.array(float(self._rounds))
        self.journal.append(time, values)
        self._row["steps"] += 1


def write_failure(folder: Path, status: StatusTable, name: str, error: BaseException) -> None:
    """Write down for the supervisor what failed in the federate `name`."""
    row = status.row(name)
    failure = Failure(
        federate=name,
        time=int(row["time"]),
        phase=int(row["phase"]),
        kind=type(error).__name__,
        message=str(error),
        stamp=clock.monotonic(),
        expected=isinstance(error, CosimError),
        secondary=isinstance(error, SecondaryError),
        traceback="".join(traceback.format_exception(error)),
    )
    try:
        failure.write(folder)
    except OSError as full:  # the disk, most likely; shared memory is there already
        row["errno"] = full.errno or errno.EIO
    status.enter(name, Phase.FAILED)


def _run(stepper: Stepper) -> None:
    try:
        stepper.run()
    except BaseException as error:
        write_failure(stepper.folder, stepper.status, stepper.spec.name, error)
        stepper.connection.fail(f"{stepper.spec.name}: {error}")


def _broker(folder: Path, federation: Federation, process: str) -> tuple[Broker | None, dict[str, Any]]:
    """The broker's address; the main process starts the broker."""
    path = folder / BROKER_FILE
    if process == MAIN_PROCESS:
        broker = Broker(len(federation.federates), federation.seed)
        address = {"port": broker.port, "key": broker.key}
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(address))
        partial.rename(path)
        return broker, address
    while not path.exists():
        clock.sleep(0.01)
    return None, json.loads(path.read_text())


def _prepare(
    folder: Path, federation: Federation, process: str, status: StatusTable
) -> tuple[list[Stepper], Broker | None, Core]:
    """Build, start and connect the federates of `process`; what fails is written down and raised again."""
    specs = federation.processes[process]
    current = specs[0]
    steppers: list[Stepper] = []
    try:
        broker, address = _broker(folder, federation, process)
        for current in specs:
            steppers.append(Stepper(folder, federation, current, status))
            steppers[-1].start()
        core = Core(process, len(specs), address["port"], address["key"])
        for stepper in steppers:
            current = stepper.spec
            stepper.connect(core)
    except BaseException as error:
        write_failure(folder, status, current.name, error)
        for stepper in steppers:
            with contextlib.suppress(Exception):
                stepper.federate.close()
        raise
    return steppers, broker, core


def main(folder: Path, process: str) -> int:
    """Run the federates of `process`; 0 if all reached the end."""
    federation = Federation.model_validate_json((folder / FEDERATION_FILE).read_text())
    status = StatusTable(folder, [spec.name for spec in federation.federates])
    steppers, broker, core = _prepare(folder, federation, process, status)
    threads = [threading.Thread(target=_run, args=(stepper,), name=stepper.spec.name) for stepper in steppers[1:]]
    for thread in threads:
        thread.start()
    _run(steppers[0])
    for thread in threads:
        thread.join()
    for stepper in steppers:
        stepper.close()
    failed = any(status.row(stepper.spec.name)["phase"] != Phase.DONE for stepper in steppers)
    core.wait(LEAVE_WITHIN)  # after a failure too: the others have to hear of it
    if broker is not None and not failed:
        broker.wait(LEAVE_WITHIN)
    return int(failed)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[3]))
    try:
        code = main(Path(sys.argv[1]), sys.argv[2])
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # engines and HELICS keep threads that would hold up an ordinary exit
