"""What another user of the machine tries: run by `tests/test_other_user.py` with the uid of nobody.

Standard input: what a run and a batch of root have open, as JSON. Standard output: what succeeded, as JSON.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helics
from distributed import Client, Security

NOBODY = 65534


def reading(folder: Path) -> Iterator[str]:
    """Look into what is private."""
    for name in (".scratch", ".scratch/broker.json", ".work", ".work/dask"):
        for place in folder.glob(f"*/{name}"):
            with contextlib.suppress(PermissionError):
                _ = place.read_bytes() if place.is_file() else list(place.iterdir())
                yield f"read {place}"


def writing(folder: Path) -> Iterator[str]:
    """Put a file where the run or batch would take it for its own."""
    for place in [folder, *folder.glob("*"), *folder.glob("*/*")]:
        for name in ("intruder", ".table.parquet.1", "broker.json"):
            with contextlib.suppress(OSError):
                (place / name).write_text("x")
                yield f"wrote {place / name}"


def submitting(ports: list[int]) -> Iterator[str]:
    """Have Dask run code, in the clear and with a key of one's own."""
    connect: Any = Client
    for port in ports:
        for protocol, security in (("tcp", None), ("tls", Security.temporary())):
            address = f"{protocol}://127.0.0.1:{port}"
            with contextlib.suppress(Exception), connect(address, timeout=1, security=security) as client:
                yield f"submitted to {port}: {client.submit(os.getuid).result(timeout=5)}"


def browsing(ports: list[int]) -> Iterator[str]:
    """Look for pages."""
    for port in ports:
        for path in ("/", "/status", "/health", "/info/main/workers.html", "/json/identity.json", "/metrics"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
            try:
                connection.request("GET", path)
                status = connection.getresponse().status
            except (OSError, http.client.HTTPException):
                break  # nothing that has pages
            if status < 400:
                yield f"got {path} from {port}: {status}"


def joining(port: int) -> Iterator[str]:
    """Become a federate, without a key and with a wrong one; who is let in is so within a second."""
    joined: list[str] = []

    def join(key: str) -> None:
        name = f"intruder_{key}"
        options = f"--federates=1 --broker_address=tcp://127.0.0.1:{port} {key} --timeout=2s --loglevel=no_print"
        with contextlib.suppress(helics.HelicsException):
            helics.helicsCoreConnect(helics.helicsCreateCore("zmq", name, options))
            information = helics.helicsCreateFederateInfo()
            helics.helicsFederateInfoSetCoreName(information, name)
            helics.helicsCreateValueFederate(name, information)
            joined.append(f"joined the federation with {key or 'no key'}")

    attempts = [threading.Thread(target=join, args=(key,)) for key in ("", "--brokerkey=0123456789abcdef")]
    for attempt in attempts:
        attempt.start()
    for attempt in attempts:
        attempt.join(5)
    yield from joined


def forking(names: list[str]) -> Iterator[str]:
    """Have a warm process fork a host."""
    for name in names:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.settimeout(2)
            line.connect("\0" + name)
            line.sendall(b'{"kinds": []}\n')
            if answer := line.recv(100):
                yield f"{name} answered {answer!r}"


def killing(processes: list[int]) -> Iterator[str]:
    """End them, and see what they hold."""
    for process in processes:
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.kill(process, 0)
            yield f"may signal {process}"
        with contextlib.suppress(OSError):
            Path(f"/proc/{process}/environ").read_bytes()
            yield f"read the environment of {process}"


def main() -> None:
    """Become nobody, try all of it, and tell what succeeded."""
    known = json.load(sys.stdin)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    folder = Path(known["folder"])
    tried = []
    for attempt in (
        reading(folder),
        writing(folder),
        browsing(known["ports"]),
        submitting(known["dask"]),
        forking(known["names"]),
        killing(known["processes"]),
        joining(known["broker"]),
    ):
        tried += attempt
    print(json.dumps(tried), flush=True)
    os._exit(0)  # what HELICS has of a broker that never answered would be waited for


if __name__ == "__main__":
    main()
