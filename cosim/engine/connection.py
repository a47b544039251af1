"""A process's connection to HELICS: the only file of the project that imports `helics`.

Arrays travel as one vector of doubles each (complex values as pairs), through the C interface straight from
and into numpy memory: the package's own vector functions copy element by element, at 60 to 95 us a call.
Messages travel through targeted endpoints only; untargeted ones can deadlock (GMLC-TDC/HELICS #2574).
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import helics
import numpy as np
import psutil
from helics.capi import ffi, helicsErrorInitialize, loadSym
from numpy.typing import NDArray

from cosim.contract import Array, Port, Time
from cosim.engine.files import LOOPBACK
from cosim.engine.row import Layout, Row, numbers_of
from cosim.errors import MachineError
from cosim.federation import SLOT, Bundle, Federation, IterationGroup, LinkSpec

CORE_TYPE = "zmq"
_MAX_SIZE = 16_777_216  #: [B] the largest message; the default of 4096 drops the connection
# HELICS' own timers stay off: on a busy machine they end good runs, and the supervisor finds every fault sooner.
_NETWORK = f"--maxsize={_MAX_SIZE} --loglevel=no_print --terminate_on_error --disable_timer"

#: One clock for all, where three or more take part. Without it two that exchange data and both wait for a third ask
#: each other for every microsecond in between, and burn a core as long as the third computes; with it a grant takes
#: a way through the broker, twice as long.
_ONE_CLOCK = "--globaltime"
_ONE_CLOCK_FROM = 3

#: Ports from a broker's own upwards that its run may use; runs on one machine keep apart by it.
_PORT_RANGE = 250
_ATTEMPTS = 3  #: to reach the broker

#: HELICS objects are never freed: their finalizers wait for a broker that may be gone. The process's end frees them.
_KEPT: list[Any] = []


class SecondaryError(Exception):
    """The federation ended under this federate's feet: another one failed first."""


@dataclass(frozen=True)
class Address:
    """Where a run's broker listens, and the key that only this run knows."""

    port: int
    key: str
    host: str = LOOPBACK

    @property
    def tag(self) -> str:
        """What tells this run's names from another's; names are no secret, so that the key cannot be had from it."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Core:
    """A process's way to the broker."""

    def __init__(self, process: str, address: Address, interface: str = LOOPBACK) -> None:
        """Connect from this machine's address `interface`; if busy, it can need more than one try.

        Raises MachineError.
        """
        for attempt in range(_ATTEMPTS):
            self.name = f"{process}_{attempt}_{address.tag}"
            options = (
                f"--federates=1 --broker_address=tcp://{address} --brokerkey={address.key} "
                f"--local_interface=tcp://{interface} {_NETWORK}"
            )
            core = helics.helicsCreateCore(CORE_TYPE, self.name, options)
            _KEPT.append(core)
            if helics.helicsCoreIsValid(core) and helics.helicsCoreConnect(core):
                return
        raise MachineError(
            f"process '{process}' cannot reach the broker on {address}, tried {_ATTEMPTS} times; run again"
            + ("" if address.host == LOOPBACK else f", and see that no firewall stands between it and {interface}")
        )


def start_broker(process: str, processes: int, interface: str = LOOPBACK) -> tuple[Address, Core]:
    """Start the run's broker in this process, on a port of its own, fenced by a key that only this run knows.

    It listens on this machine's address `interface` alone.

    A port counts only if this very process listens on it and reaches the broker there: it gives that way too.
    Raises MachineError if no port can be had.
    """
    ports = np.random.default_rng().permutation(np.arange(10_000, 31_000, _PORT_RANGE))[:40]
    timing = _ONE_CLOCK if processes >= _ONE_CLOCK_FROM else ""
    for port in map(int, ports):
        address = Address(port, secrets.token_hex(16), interface)
        place = f"--port={port} --local_interface=tcp://{interface}"
        options = f"--federates={processes} {place} --brokerkey={address.key} {_NETWORK} {timing}"
        broker = helics.helicsCreateBroker(CORE_TYPE, f"broker_{address.tag}", options)
        _KEPT.append(broker)
        if helics.helicsBrokerIsConnected(broker) and port in _own_ports():
            with contextlib.suppress(MachineError):
                return address, Core(process, address, interface)
        helics.helicsBrokerDisconnect(broker)
    raise MachineError(
        f"none of 40 ports between 10000 and 31000 could be opened on {interface}; free some and run again"
    )


def _own_ports() -> set[int]:
    return {entry.laddr.port for entry in psutil.Process().net_connections("tcp") if entry.status == psutil.CONN_LISTEN}


class Parcel:
    """A publication to one process, and whether it has still to be sent."""

    def __init__(self, publication: Any, process: str, parts: tuple[str, ...]) -> None:
        self._handle, self.process, self._parts = publication.handle, process, parts
        self._publish, self._error = loadSym("helicsPublicationPublishVector"), helicsErrorInitialize()
        self._arrays: list[NDArray[np.float64]] = []
        self._numbers = np.zeros(0)
        self.waiting = False

    def fill_from(self, offered: Mapping[str, Array]) -> None:
        """Say where its parts lie, by name."""
        self._arrays = [numbers_of(offered[part]) for part in self._parts]
        self._numbers = np.concatenate(self._arrays)
        self._buffer = ffi.from_buffer("double[]", self._numbers)

    def send(self, name: str) -> None:
        """Publish what its parts now are. Raises SecondaryError naming `name`."""
        np.concatenate(self._arrays, out=self._numbers)
        self._publish(self._handle, self._buffer, self._numbers.size, self._error)
        _raise_on(self._error, name)
        self.waiting = False


class Arrival:
    """An input from another process and the newest values that came."""

    def __init__(self, source: Any, layouts: Iterable[Layout]) -> None:
        self._handle = source.handle
        self.row = Row(layouts)
        self._size = self.row.numbers.size
        self._buffer = ffi.from_buffer("double[]", self.row.numbers)
        self._count, self._error = ffi.new("int *"), helicsErrorInitialize()
        self._updated, self._get = loadSym("helicsInputIsUpdated"), loadSym("helicsInputGetVector")
        self.came = False

    def refresh(self, name: str) -> None:
        """Take the newest values. Raises SecondaryError, MachineError naming `name`."""
        if self._updated(self._handle):
            self._get(self._handle, self._buffer, self._size, self._count, self._error)
            _raise_on(self._error, name)
            if self._count[0] != self._size:
                raise MachineError(f"{self._count[0]} numbers came for {self._size} at '{name}'")
            self.came = True


class Membership:
    """A process's membership in the federation: one HELICS federate for all federates that run in it.

    What goes from one of them to another never leaves the process (`cosim/engine/switchboard.py`); here is what
    crosses its border: a publication for all that one federate gives to one other process, an input for each such from
    there, endpoints for messages, and the clock.
    """

    def __init__(
        self,
        federation: Federation,
        process: str,
        ports: Mapping[str, Sequence[Port]],
        core: Core,
    ) -> None:
        """Register what crosses the border; `ports` are those of the federates here."""
        self.name = process
        self._inside = set(ports)
        self._federate = helics.helicsCreateCombinationFederate(process, self._information(core.name))
        _KEPT.append(self._federate)
        self._parcels: dict[str, list[Parcel]] = {}
        self._arrivals: list[Arrival] = []
        self._parts: dict[str, tuple[Arrival, Array]] = {}
        self._signals_out: dict[str, tuple[Array, Parcel]] = {}
        self._signals_in: dict[str, Arrival] = {}
        for bundle in federation.bundles():
            self._register_bundle(bundle, federation.links, ports)
        for number, group in enumerate(federation.groups):
            self._register_signal(signal_key(number), group)
        self._endpoints = self._register_endpoints(federation)

    def _information(self, core: str) -> Any:
        information = helics.helicsCreateFederateInfo()
        helics.helicsFederateInfoSetCoreName(information, core)
        helics.helicsFederateInfoSetTimeProperty(information, helics.helics_property_time_period, SLOT / 1e9)
        helics.helicsFederateInfoSetTimeProperty(information, helics.helics_property_time_delta, SLOT / 1e9)
        helics.helicsFederateInfoSetIntegerProperty(
            information, helics.HELICS_PROPERTY_INT_LOG_LEVEL, helics.HELICS_LOG_LEVEL_ERROR
        )
        helics.helicsFederateInfoSetFlagOption(information, helics.helics_flag_uninterruptible, True)
        helics.helicsFederateInfoSetFlagOption(information, helics.helics_flag_terminate_on_error, True)
        return information

    def _register_bundle(self, bundle: Bundle, links: Sequence[LinkSpec], ports: Mapping[str, Sequence[Port]]) -> None:
        if bundle.source in self._inside:
            self._parcels.setdefault(bundle.source, []).append(
                Parcel(self._publication(bundle.key), bundle.process, bundle.parts)
            )
        elif bundle.process == self.name:
            layouts = {
                str(link.source): _layout(link, ports) for link in links if link.destination.federate in self._inside
            }
            arrival = self._arrival(bundle.key, [layouts[part] for part in bundle.parts])
            self._parts |= {
                part: (arrival, array) for part, array in zip(bundle.parts, arrival.row.arrays, strict=True)
            }

    def _arrival(self, key: str, layouts: Sequence[Layout]) -> Arrival:
        arrival = Arrival(helics.helicsFederateRegisterSubscription(self._federate, key), layouts)
        self._arrivals.append(arrival)
        return arrival

    def _publication(self, key: str) -> Any:
        vector = helics.HELICS_DATA_TYPE_VECTOR
        return helics.helicsFederateRegisterGlobalPublication(self._federate, key, vector)

    def _register_signal(self, key: str, group: IterationGroup) -> None:
        """A group's stop signal goes from its leader's process to the other members'."""
        if group.members[0] in self._inside:
            agreement, parcel = np.zeros(()), Parcel(self._publication(key), "", (key,))
            parcel.fill_from({key: agreement})
            self._signals_out[key] = agreement, parcel
        elif self._inside & set(group.members):
            self._signals_in[key] = self._arrival(key, [Layout((), is_complex=False)])

    def _register_endpoints(self, federation: Federation) -> dict[str, Any]:
        """The carrier's process has an endpoint for each agent elsewhere; an agent has one, aimed at that."""
        if federation.carrier in self._inside:
            outside = [agent for agent in federation.agents if agent not in self._inside]
            return {agent: self._endpoint(f"to {agent}", f"agent {agent}") for agent in outside}
        inside = [agent for agent in federation.agents if agent in self._inside]
        return {agent: self._endpoint(f"agent {agent}", f"to {agent}") for agent in inside}

    def _endpoint(self, name: str, target: str) -> Any:
        endpoint = helics.helicsFederateRegisterGlobalTargetedEndpoint(self._federate, name, "")
        helics.helicsEndpointAddDestinationTarget(endpoint, target)
        return endpoint

    def enter(self) -> None:
        """Wait for all others, then begin. Raises SecondaryError if the federation ended before."""
        self._call(helics.helicsFederateEnterExecutingMode, self._federate)

    def request(self, time: Time, met: Collection[str]) -> None:
        """Wait until `time` [ns] is granted; `met` are the processes that may act before.

        Only these get what they use of what was published. Raises SecondaryError if the federation ended before.
        """
        for parcels in self._parcels.values():
            for parcel in parcels:
                if parcel.waiting and parcel.process in met:
                    parcel.send(self.name)
        # HELICS takes seconds as doubles, which round: ask for a little less and get the next multiple of the period.
        request = (time - SLOT // 2) / 1e9
        granted = round(self._call(helics.helicsFederateRequestTime, self._federate, request) * 1e9)
        if abs(granted - time) >= SLOT // 2:
            raise SecondaryError(
                f"'{self.name}' asked for {time} ns and was granted {granted} ns: the federation ended early"
            )
        for arrival in self._arrivals:
            arrival.refresh(self.name)

    def leave(self) -> None:
        """Leave in good order: whoever asks for the last time after this process got it would wait for it for ever."""
        helics.helicsFederateDisconnect(self._federate)

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except helics.HelicsException as error:
            raise SecondaryError(f"HELICS ended '{self.name}': {error}") from None

    def value(self, part: str) -> Array | None:
        """Where the newest value `part` from another process lies; None as long as none ever came."""
        arrival, array = self._parts[part]
        return array if arrival.came else None

    def offer(self, source: str, parts: Mapping[str, Array]) -> None:
        """Say where that lies which the federate `source` gives to others, by the links' sources."""
        for parcel in self._parcels.get(source, ()):
            parcel.fill_from(parts)

    def publish(self, source: str) -> None:
        """Publish what the federate `source` now gives to the other processes that use it, once they may act."""
        for parcel in self._parcels.get(source, ()):
            parcel.waiting = True

    def signal(self, key: str, agreed: bool) -> None:
        """Publish a group's stop signal, if a member is in another process."""
        if key in self._signals_out:
            agreement, parcel = self._signals_out[key]
            agreement[...] = agreed
            parcel.send(self.name)

    def signalled(self, key: str) -> bool:
        """Whether the last stop signal from another process said stop."""
        arrival = self._signals_in[key]
        return arrival.came and bool(arrival.row.numbers[0] > 0.5)

    def send(self, agent: str, letter: bytes) -> None:
        """Send a letter through the endpoint of `agent`: to it if the carrier is here, else from it to the carrier."""
        helics.helicsEndpointSendBytes(self._endpoints[agent], letter)

    def receive(self, agent: str) -> Iterator[bytes]:
        """Take the letters that have come to the endpoint of `agent`, in the order of their sending."""
        endpoint = self._endpoints[agent]
        while helics.helicsEndpointHasMessage(endpoint):
            raw = helics.helicsEndpointGetMessage(endpoint)
            yield helics.helicsMessageGetBytes(raw)
            helics.helicsMessageFree(raw)

    @property
    def correspondents(self) -> tuple[str, ...]:
        """The agents that have an endpoint here."""
        return tuple(self._endpoints)

    def fail(self, text: str) -> None:
        """Tell all others that something here has failed."""
        helics.helicsFederateGlobalError(self._federate, 1, text[:1000])


def _layout(link: LinkSpec, ports: Mapping[str, Sequence[Port]]) -> Layout:
    """Of what comes over a link that ends here."""
    end = link.destination
    port = next(port for port in ports[end.federate] if port.name == end.port)
    return Layout(end.shape(port), port.is_complex)


def _raise_on(error: Any, name: str) -> None:
    if error.error_code != 0:
        text = ffi.string(error.message).decode()
        loadSym("helicsErrorClear")(error)
        raise SecondaryError(f"HELICS at '{name}': {text}")


def signal_key(group: int) -> str:
    """The key of the value with which an iterated group's leader ends the rounds."""
    return f"group {group} agrees"
