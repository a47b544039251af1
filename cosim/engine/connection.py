"""A federate's connection to HELICS: the only file of the project that imports `helics`.

Arrays travel as one vector of doubles each (complex values as pairs), through the C interface straight from
and into numpy memory: the package's own vector functions copy element by element, at 60 to 95 us a call.
Messages travel through targeted endpoints only; untargeted ones can deadlock (GMLC-TDC/HELICS #2574).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import helics
import numpy as np
import psutil
from helics.capi import ffi, helicsErrorInitialize, loadSym

from cosim.contract import Array, Federate, Message, Port, Time
from cosim.errors import ContractError, MachineError
from cosim.federation import SLOT, FederateSpec, Federation

CORE_TYPE = "tcpss"
_MAX_SIZE = 16_777_216  #: [B] the largest message; the default of 4096 drops the connection
# HELICS' own timers stay off: on a busy machine they end good runs, and the supervisor finds every fault sooner.
_NETWORK = f"--maxsize={_MAX_SIZE} --loglevel=no_print --terminate_on_error --disable_timer"

#: One clock for all. Without it two federates that exchange data and both wait for a third ask each other for every
#: microsecond in between, and burn a core as long as the third computes.
_TIMING = "--globaltime"


class SecondaryError(Exception):
    """The federation ended under this federate's feet: another one failed first."""


class Broker:
    """The run's broker, on a port of its own, fenced by a key that only this run knows."""

    def __init__(self, federates: int, seed: int) -> None:
        """Start it. Raises MachineError if no port can be had."""
        self.key = secrets.token_hex(8)
        ports = np.random.default_rng().permutation(np.arange(10_000, 31_000, 25))[:40]
        for port in map(int, ports):
            options = f"--federates={federates} --port={port} --local --brokerkey={self.key} {_NETWORK} {_TIMING}"
            broker = helics.helicsCreateBroker(CORE_TYPE, f"broker_{self.key}", options)
            if helics.helicsBrokerIsConnected(broker) and port in _own_ports():
                self.port, self._broker = port, broker
                return
            helics.helicsBrokerDestroy(broker)
        raise MachineError(
            "none of 40 ports between 10000 and 31000 could be opened on 127.0.0.1; free some and run again"
        )

    def wait(self, seconds: float) -> None:
        """Wait until every federate has left."""
        helics.helicsBrokerWaitForDisconnect(self._broker, int(seconds * 1000))


def _own_ports() -> set[int]:
    return {entry.laddr.port for entry in psutil.Process().net_connections("tcp") if entry.status == psutil.CONN_LISTEN}


class Core:
    """One process's core; its federates share it."""

    def __init__(self, name: str, federates: int, port: int, key: str) -> None:
        """Connect to the broker. Raises MachineError."""
        options = f"--federates={federates} --broker_address=tcp://127.0.0.1:{port} --brokerkey={key} {_NETWORK}"
        self.name = f"{name}_{key}"
        self._core = helics.helicsCreateCore(CORE_TYPE, self.name, options)
        if not helics.helicsCoreIsValid(self._core) or not helics.helicsCoreConnect(self._core):
            raise MachineError(f"process '{name}' cannot reach the broker on 127.0.0.1:{port}")

    def wait(self, seconds: float) -> None:
        """Wait until the broker has taken note that all federates left."""
        helics.helicsCoreWaitForDisconnect(self._core, int(seconds * 1000))


class Connection:
    """One federate's publications, inputs and endpoints."""

    def __init__(
        self,
        core: Core,
        federation: Federation,
        spec: FederateSpec,
        federate: Federate,
        ports: Sequence[Port],
    ) -> None:
        self.name = spec.name
        info = helics.helicsCreateFederateInfo()
        helics.helicsFederateInfoSetCoreName(info, core.name)
        helics.helicsFederateInfoSetTimeProperty(info, helics.helics_property_time_period, SLOT / 1e9)
        helics.helicsFederateInfoSetTimeProperty(info, helics.helics_property_time_delta, SLOT / 1e9)
        helics.helicsFederateInfoSetFlagOption(info, helics.helics_flag_uninterruptible, True)
        helics.helicsFederateInfoSetFlagOption(info, helics.helics_flag_terminate_on_error, True)
        self._federate = helics.helicsCreateCombinationFederate(spec.name, info)
        self._publish = loadSym("helicsPublicationPublishVector")
        self._get = loadSym("helicsInputGetVector")
        self._error = helicsErrorInitialize()
        self._outputs = {port.name: port for port in ports if port.direction == "out"}
        self._publications = self._register_publications(federation)
        self._inputs = self._register_inputs(federation)
        self._signals = self._register_signal(federation, spec)
        self._endpoints = self._register_endpoints(federation, federate)

    def _register_publications(self, federation: Federation) -> list[tuple[str, tuple[int, ...], Any]]:
        found = {}
        for link in federation.links_from(self.name):
            port = self._outputs[link.source.port]
            key = str(link.source)
            if key not in found:
                publication = helics.helicsFederateRegisterGlobalPublication(
                    self._federate, key, helics.HELICS_DATA_TYPE_VECTOR, port.unit
                )
                found[key] = (port.name, link.source.index(port), publication)
        return list(found.values())

    def _register_inputs(self, federation: Federation) -> list[Any]:
        return [self._subscribe(str(link.source)) for link in federation.links_to(self.name)]

    def _subscribe(self, key: str) -> Any:
        return helics.helicsFederateRegisterSubscription(self._federate, key)

    def _register_signal(self, federation: Federation, spec: FederateSpec) -> Any:
        """The group's stop signal: published by its leader, read by the others."""
        if spec.group is None:
            return None
        group = federation.groups[spec.group]
        key = f"group {spec.group} agrees"
        if self.name == group.members[0]:
            return helics.helicsFederateRegisterGlobalPublication(self._federate, key, helics.HELICS_DATA_TYPE_DOUBLE)
        return self._subscribe(key)

    def _register_endpoints(self, federation: Federation, federate: Federate) -> dict[str, Any]:
        """An agent has one endpoint, aimed at the carrier; the carrier has one for each agent."""
        if federate.messaging == "carrier":
            return {agent: self._endpoint(f"to {agent}", f"agent {agent}") for agent in federation.agents}
        if federate.messaging == "agent":
            return {"carrier": self._endpoint(f"agent {self.name}", f"to {self.name}")}
        return {}

    def _endpoint(self, name: str, target: str) -> Any:
        endpoint = helics.helicsFederateRegisterGlobalTargetedEndpoint(self._federate, name, "")
        helics.helicsEndpointAddDestinationTarget(endpoint, target)
        return endpoint

    def enter(self) -> None:
        """Wait for all others, then begin. Raises SecondaryError if the federation ended before."""
        self._call(helics.helicsFederateEnterExecutingMode, self._federate)

    def request(self, time: Time) -> None:
        """Wait until `time` [ns] is granted. Raises SecondaryError if the federation ended before."""
        # HELICS takes seconds as doubles, which round: ask for a little less and get the next multiple of the period.
        request = (time - SLOT // 2) / 1e9
        granted = round(self._call(helics.helicsFederateRequestTime, self._federate, request) * 1e9)
        if abs(granted - time) >= SLOT // 2:
            raise SecondaryError(
                f"'{self.name}' asked for {time} ns and was granted {granted} ns: the federation ended early"
            )

    def _call(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except helics.HelicsException as error:
            raise SecondaryError(f"HELICS ended '{self.name}': {error}") from None

    def read(self, position: int, into: Array) -> bool:
        """Copy the value of link `position` into `into`; False if nothing new came since the last read."""
        source = self._inputs[position]
        if not helics.helicsInputIsUpdated(source):
            return False
        size = ffi.new("int *")
        count = into.size * (2 if into.dtype.kind == "c" else 1)
        self._get(source.handle, ffi.from_buffer("double[]", into), count, size, self._error)
        self._raise_on_error()
        if size[0] != count:
            raise MachineError(f"a value of {size[0]} numbers came for {count} at '{self.name}'")
        return True

    def publish(self, values: dict[str, Array]) -> None:
        """Publish every linked output."""
        for name, index, publication in self._publications:
            part = np.ascontiguousarray(values[name][index])
            numbers = part.reshape(-1).view(np.float64)
            self._publish(publication.handle, ffi.from_buffer("double[]", numbers), numbers.size, self._error)
            self._raise_on_error()

    def signal(self, agreed: bool) -> None:
        """Leader of a group: tell the others whether this round is the last."""
        helics.helicsPublicationPublishDouble(self._signals, float(agreed))

    def signalled(self) -> bool:
        """Member of a group: whether the leader has ended the rounds."""
        return bool(helics.helicsInputGetDouble(self._signals) > 0.5)

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages: an agent's to the carrier, the carrier's to the agent that each is for."""
        for message in messages:
            key = message.destination.partition("/")[0] if "carrier" not in self._endpoints else "carrier"
            if key not in self._endpoints:
                agents = ", ".join(self._endpoints)
                raise ContractError(f"{message.source} sent a message to '{key}', which is no agent; agents: {agents}")
            data = json.dumps(asdict(message)).encode()
            helics.helicsEndpointSendBytes(self._endpoints[key], data)

    def receive(self) -> list[Message]:
        """Take all messages that have come, in the order of their sources and sending."""
        found = []
        for endpoint in self._endpoints.values():
            while helics.helicsEndpointHasMessage(endpoint):
                raw = helics.helicsEndpointGetMessage(endpoint)
                found.append(Message(**json.loads(helics.helicsMessageGetBytes(raw))))
                helics.helicsMessageFree(raw)
        return found

    def leave(self) -> None:
        """Leave the federation in good order."""
        helics.helicsFederateDisconnect(self._federate)

    def fail(self, text: str) -> None:
        """Tell all others that this federate has failed."""
        helics.helicsFederateGlobalError(self._federate, 1, text[:1000])

    def _raise_on_error(self) -> None:
        if self._error.error_code != 0:
            text = ffi.string(self._error.message).decode()
            loadSym("helicsErrorClear")(self._error)
            raise SecondaryError(f"HELICS at '{self.name}': {text}")
