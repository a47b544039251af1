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
            with contextlib.suppress(Exception), connect(address, timeout=2, security=security) as client:
                yield f"submitted to {port}: {client.submit(os.getuid).result(timeout=5)}"


def browsing(ports: list[int]) -> Iterator[str]:
    """Look for pages."""
    for port in ports:
        for path in ("/", "/status", "/health", "/info/main/workers.html", "/json/identity.json", "/metrics"):
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
                connection.request("GET", path)
                status = connection.getresponse().status
                if status < 400:
                    yield f"got {path} from {port}: {status}"


def joining(ports: list[int]) -> Iterator[str]:
    """Join the federation, without a key and with a wrong one."""
    for port in ports:
        for number, key in enumerate(("", "--brokerkey=0123456789abcdef")):
            options = f"--federates=1 --broker_address=tcp://127.0.0.1:{port} {key} --timeout=2s --loglevel=no_print"
            with contextlib.suppress(helics.HelicsException):
                core = helics.helicsCreateCore("zmq", f"intruder_{port}_{number}", options)
                if helics.helicsCoreConnect(core):
                    yield f"joined the federation on {port}"


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
    tried = [
        *reading(folder),
        *writing(folder),
        *browsing(known["dask"] + known["helics"]),
        *submitting(known["dask"]),
        *forking(known["names"]),
        *killing(known["processes"]),
        *joining(known["helics"]),
    ]
    print(json.dumps(tried), flush=True)
    os._exit(0)  # what HELICS has of a broker that never answered would be waited for


if __name__ == "__main__":
    main()
