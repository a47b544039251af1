"""The program of a federation's processes: builds its federates, joins them, steps them to the end.

Started as `python -m cosim.engine.host FOLDER INTERFACE PROCESS PARENT`. The federates of one process take turns in the
order of their slots, and share one membership in the HELICS federation.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time as clock
import traceback
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from heapq import heapify, heappop, heapreplace
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np

from cosim import balance, needs
from cosim.balance import BALANCES
from cosim.contract import Message, Port, Time
from cosim.engine.connection import Address, Core, Membership, SecondaryError, start_broker
from cosim.engine.failure import Failure
from cosim.engine.files import BROKER_FILE, FEDERATION_FILE, ROUNDS, WORKING, write_private
from cosim.engine.inputs import Inputs, check_next_time
from cosim.engine.journal import Column, JournalWriter
from cosim.engine.lifeline import die_with_parent
from cosim.engine.machine import OF_MACHINE
from cosim.engine.outputs import Outputs
from cosim.engine.printable import described, printable
from cosim.engine.status import Phase, StatusTable
from cosim.engine.switchboard import Line, Switchboard
from cosim.errors import ContractError, CosimError
from cosim.federation import MAIN_PROCESS, SLOT, FederateSpec, Federation, IterationGroup, is_recorded
from cosim.needs import NEEDS

LONGEST_MESSAGE = 2_000  #: [characters] of a failure that are kept
LONGEST_TRACEBACK = 100_000
LAST_TO_GO = 60.0  #: [s] that a process waits for the others to finish


class Stepper:
    """Steps one federate: reads its inputs, lets it solve, publishes, commits, records."""

    def __init__(self, folder: Path, federation: Federation, spec: FederateSpec, status: StatusTable) -> None:
        self.folder, self.federation, self.spec, self.status = folder, federation, spec, status
        self.time: Time = 0
        self._row = status.row(spec.name)
        status.enter(spec.name, Phase.BUILDING)
        self.federate = federation.build(spec)
        self.ports = tuple(self.federate.ports())
        self.stocks = {stock.energy: stock for stock in self.federate.stocks()}
        self._balances = self.federate.balances()
        self.links = federation.links_to(spec.name)
        given = [port for port in self.ports if port.direction == "out"]
        self._recorded = [port for port in given if is_recorded(f"{spec.name}.{port.name}", federation.exclude)]
        self._outputs = Outputs([*self._recorded, *(port for port in given if port not in self._recorded)])
        self._inputs = Inputs(self.ports, self.links)
        self.group = None if spec.group is None else federation.groups[spec.group]
        self.leads = self.group is not None and self.group.members[0] == spec.name
        self._rounds = np.zeros(1)
        self._record = [
            self._outputs.numbers(self._recorded),
            self._inputs.used,
            *([self._rounds] if self.leads else []),
        ]

    def start(self) -> None:
        """Start the federate's engine."""
        self.status.enter(self.spec.name, Phase.STARTING)
        scratch = self.folder / f"{self.spec.name}.scratch"
        scratch.mkdir()
        self.federate.start(scratch)
        self.status.enter(self.spec.name, Phase.JOINING)

    def connect(self, switchboard: Switchboard) -> None:
        """Take a line to the others and open the journal."""
        self.line = Line(switchboard, self.spec, self._outputs, self.federate.messaging)
        safe = self.federation.crash_safe
        self.journal = JournalWriter(self.folder, self.spec.name, self._columns(), crash_safe=safe)

    def _columns(self) -> list[Column]:
        columns = [Column.of_port(port, self.stocks.get(port.name), self._stated(port)) for port in self._recorded]
        columns += [self._inputs.column(link) for link in self.links if link.tolerance is not None]
        if self.leads:
            columns.append(Column(ROUNDS, "1", "rounds until the iterated coupling agreed", {}, is_complex=False))
        return columns

    def _stated(self, port: Port) -> dict[str, str]:
        """What is stated of an output that its inputs have a part in."""
        given = self.ports, self.links
        texts = {BALANCES: balance.written(self._balances, port.name, *given), NEEDS: needs.written(port, *given)}
        return {key: text for key, text in texts.items() if text}

    def run(self) -> Iterator[Time]:
        """Step to the end of the run; yields each HELICS time [ns] at which to go on."""
        time = self.federate.next_time(-1)
        if self.spec.opening is not None and time == 0:
            yield from self._open(self.spec.opening)
        while time is not None and time < self.federation.duration:
            self.time = time
            if self.group is None:
                messages = yield from self._solve_once(time)
            else:
                messages = yield from self._solve_in_rounds(time, self.group)
            self.line.send(messages)
            self._commit(time)
            following = self.federate.next_time(time)
            check_next_time(time, following, self.spec.step or self.federation.step)
            time = following
        silent = self._inputs.silent(int(self._row["steps"]))
        if silent:
            raise ContractError(f"link {silent[0]} carried nothing in the whole run")
        self.status.enter(self.spec.name, Phase.WAITING, self.federation.duration)

    def close(self, failed: bool) -> bool:
        """Release what the federate took; whether that went well. A failure that came first keeps its place."""
        if not failed:
            self.status.enter(self.spec.name, Phase.CLOSING)
        try:
            self.federate.close()
            self.journal.close()
        except BaseException as error:
            if not failed:
                write_failure(self.folder, self.status, self.spec.name, error)
            return False
        if not failed:
            self.status.enter(self.spec.name, Phase.DONE)
        return True

    def _open(self, slot: int) -> Iterator[Time]:
        """Give those who need it what the federate will about give at the first time; nothing of it is recorded."""
        yield from self._wait(slot * SLOT)
        self._inputs.read(self.line, complete=False)
        before = clock.monotonic()
        opening = self.federate.opening(0, self._inputs.take())
        self._row["busy"] += clock.monotonic() - before
        if opening is not None:
            self._outputs.accept(opening)
            self.line.publish()

    def _wait(self, until: Time) -> Iterator[Time]:
        self.status.enter(self.spec.name, Phase.WAITING)
        yield until
        self.status.enter(self.spec.name, Phase.COMPUTING, self.time)

    def _solve_once(self, time: Time) -> Generator[Time, None, Sequence[Message]]:
        yield from self._wait(time + self.spec.slot * SLOT)
        self._inputs.read(self.line, complete=True)
        return self._solve(time)

    def _solve_in_rounds(self, time: Time, group: IterationGroup) -> Generator[Time, None, Sequence[Message]]:
        """Repeat the solution until the group's leader finds that its inputs no longer change.

        Rounds are HELICS times a microsecond apart: the native iterative request exchanges stale values and
        takes a varying number of rounds.
        """
        messages: Sequence[Message] = ()
        for number in range(group.max_rounds + 1):
            yield from self._wait(time + group.slot(self.spec.name, number) * SLOT)
            self._inputs.read(self.line, complete=number > 0)
            last = number == group.max_rounds
            if self.leads:
                last = last or (number > 0 and self._inputs.agree())
                self.line.signal(last)
            elif self.line.signalled():
                last = True
            if last:
                self._rounds[0] = number
                break
            messages = self._solve(time)
        return messages

    def _solve(self, time: Time) -> Sequence[Message]:
        inputs = self._inputs.take()
        before = clock.monotonic()
        solution = self.federate.solve(time, inputs)
        self._row["busy"] += clock.monotonic() - before
        self._outputs.accept(solution)
        self.line.publish()
        return solution.messages

    def _commit(self, time: Time) -> None:
        self._inputs.messages = []
        before = clock.monotonic()
        self.federate.commit(time)
        self._row["busy"] += clock.monotonic() - before
        self.journal.append(time, self._record)
        self._row["steps"] += 1


def write_failure(folder: Path, status: StatusTable, name: str, error: BaseException) -> None:
    """Write down for the supervisor what failed in the federate `name`."""
    row = status.row(name)
    failure = Failure(
        federate=name,
        time=int(row["time"]),
        phase=int(row["phase"]),
        kind=type(error).__name__,
        message=printable(described(error), LONGEST_MESSAGE),
        stamp=clock.monotonic(),
        expected=isinstance(error, CosimError),
        secondary=isinstance(error, SecondaryError),
        traceback=printable("".join(traceback.format_exception(error)), LONGEST_TRACEBACK),
        errno=error.errno if isinstance(error, OSError) and error.errno in OF_MACHINE else None,
    )
    try:
        failure.write(folder)
    except OSError as full:  # the disk, most likely; shared memory is there already
        row["errno"] = full.errno or errno.EIO
    status.enter(name, Phase.FAILED)


def _reach_broker(folder: Path, federation: Federation, process: str, interface: str) -> Core:
    """The way to the broker; the main process starts it, and it lives as long as that process."""
    path = folder / BROKER_FILE
    if process == MAIN_PROCESS:
        address, core = start_broker(process, len(federation.processes), interface)
        write_private(path, json.dumps(asdict(address)).encode())
        return core
    while not path.exists():
        clock.sleep(0.01)
    return Core(process, Address(**json.loads(path.read_text())), interface)


def _prepare(
    folder: Path, federation: Federation, process: str, interface: str, status: StatusTable
) -> tuple[list[Stepper], Membership]:
    """Build, start and connect the federates of `process`; what fails is written down and raised again."""
    specs = federation.processes[process]
    current = specs[0]
    steppers: list[Stepper] = []
    try:
        core = _reach_broker(folder, federation, process, interface)
        for current in specs:
            steppers.append(Stepper(folder, federation, current, status))
            steppers[-1].start()
        ports = {stepper.spec.name: stepper.ports for stepper in steppers}
        membership = Membership(federation, process, ports, core)
        switchboard = Switchboard(federation, membership, list(ports))
        for stepper in steppers:
            current = stepper.spec
            stepper.connect(switchboard)
    except BaseException as error:
        write_failure(folder, status, current.name, error)
        for stepper in steppers:
            with contextlib.suppress(Exception):
                stepper.federate.close()
        raise
    return steppers, membership


def _drive(federation: Federation, process: str, steppers: Sequence[Stepper], membership: Membership) -> None:
    """Let the federates take turns until all have reached the end; what fails is written down and raised again."""
    current = steppers[0]
    elsewhere = federation.spans_elsewhere(process)
    try:
        membership.enter()
        turns = []
        for number, current in enumerate(steppers):
            run = current.run()
            turns += [(time, number, run) for time in islice(run, 1)]
        heapify(turns)
        last: Time | None = None
        while turns:
            time, number, run = turns[0]
            current = steppers[number]
            # A time is granted once, to all federates of the process that take a turn at it. Where nobody elsewhere
            # acts in between, nothing can have come and nobody waits for us: HELICS need not be asked.
            met = [name for name, spans in elsewhere.items() if last is None or any(s.meets(last, time) for s in spans)]
            if last is None or (time > last and met):
                membership.request(time, met)
            last = time
            following = next(run, None)
            if following is None:
                heappop(turns)
            else:
                heapreplace(turns, (following, number, run))
        membership.request(federation.duration, elsewhere)  # granted when nobody needs us any more
        membership.leave()
    except BaseException as error:
        write_failure(current.folder, current.status, current.spec.name, error)
        membership.fail(f"{current.spec.name}: {error}")
        raise


def main(folder: Path, interface: str, process: str) -> int:
    """Run the federates of `process`; 0 if all reached the end.

    The working folder is one of its own: what a federate writes by a bare name stays out of the caller's folder, and is
    kept in the run's.
    """
    folder = folder.absolute()
    working = folder / f"{process}{WORKING}"
    working.mkdir()
    os.chdir(working)
    federation = Federation.model_validate_json((folder / FEDERATION_FILE).read_text())
    status = StatusTable(folder, [spec.name for spec in federation.federates])
    steppers, membership = _prepare(folder, federation, process, interface, status)
    failed = False
    try:
        _drive(federation, process, steppers, membership)
    except BaseException:
        traceback.print_exc()
        failed = True
    for stepper in steppers:
        failed = not stepper.close(failed) or failed
    if not failed:
        _leave_together(status)
    return int(failed)


def _leave_together(status: StatusTable) -> None:
    """Stay until every federate has finished or failed: who leaves at once takes along what HELICS has yet to send."""
    until = clock.monotonic() + LAST_TO_GO
    while clock.monotonic() < until and not np.isin(status.rows["phase"], (Phase.DONE, Phase.FAILED)).all():
        clock.sleep(0.005)


def main_and_exit(folder: Path, interface: str, process: str) -> NoReturn:
    """Run the federates of `process`, and end this process."""
    try:
        code = main(folder, interface, process)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # engines and HELICS keep threads that would hold up an ordinary exit


if __name__ == "__main__":
    die_with_parent(int(sys.argv[4]))
    main_and_exit(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
