"""Dask clusters that nobody but their owner can use: own ones with TLS and a key of their own, others with files."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import multiprocessing
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
from distributed import Client, LocalCluster, Security
from distributed.comm.addressing import get_address_host, get_address_host_port

from cosim.engine.files import LOOPBACK
from cosim.errors import Fault, MachineError, ScenarioError

CONNECT = 10.0  #: [s] to reach a scheduler
CLOSE = 10.0  #: [s] for the workers of an own cluster to end in good order

#: Of a cluster on this machine. Its own statistics cost processor time; its web pages ask nobody who he is.
_SETTINGS = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


@dataclass(frozen=True)
class Tls:
    """The files by which a scheduler elsewhere knows its clients, and they know it."""

    ca: Path
    cert: Path
    key: Path

    def security(self) -> Security:
        """For Dask."""
        files = {"tls_ca_file": str(self.ca), "tls_client_cert": str(self.cert), "tls_client_key": str(self.key)}
        return Security(require_encryption=True, **files)  # type: ignore[no-untyped-call]

    @property
    def warning(self) -> str:
        """What is wrong with the key's mode; "" if only its owner can read it."""
        others = self.key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        return f"others can read the key {self.key}; give it to its owner alone with `chmod 600`" if others else ""


def tls_of(ca: Path | None, cert: Path | None, key: Path | None) -> Tls | None:
    """The files of the three options; None if none is given. Raises ScenarioError if one is missing or unreadable."""
    given = {"--tls-ca": ca, "--tls-cert": cert, "--tls-key": key}
    missing = [option for option, path in given.items() if path is None]
    if len(missing) == len(given):
        return None
    if ca is None or cert is None or key is None:
        raise ScenarioError([Fault(missing[0], "is missing: TLS needs all of --tls-ca, --tls-cert and --tls-key.")])
    for option, path in (("--tls-ca", ca), ("--tls-cert", cert), ("--tls-key", key)):
        try:
            path.open("rb").close()
        except OSError as error:
            raise ScenarioError([Fault(option, f"{path} cannot be read: {error.strerror}.")]) from None
    return Tls(ca, cert, key)


def check_address(scheduler: str) -> None:
    """Raises ScenarioError for what is no address of a scheduler."""
    try:
        _, port = get_address_host_port(scheduler)
        wrong = "" if port is None or 0 < port < 65536 else f"has no possible port: {port}"
    except (ValueError, TypeError):
        wrong = f"'{scheduler}' is no address"
    if wrong:
        remedy = "Give it as tls://HOST:PORT or tcp://HOST:PORT, as the scheduler prints."
        raise ScenarioError([Fault("--scheduler", f"{wrong}.", remedy)])


def connected(scheduler: str, tls: Tls | None) -> Any:
    """A client of the scheduler at an address. Raises ScenarioError, MachineError if none answers."""
    check_address(scheduler)
    if tls is not None and not scheduler.startswith("tls://"):
        problem = f"'{scheduler}' is an address without TLS, for which files are given."
        raise ScenarioError([Fault("--scheduler", problem, "Give it as tls://HOST:PORT.")])
    new_client: Any = Client
    try:
        security = None if tls is None else tls.security()
        return new_client(scheduler, timeout=CONNECT, set_as_default=False, security=security)
    except TypeError:  # Dask's own way to say that it has no certificate
        problem = f"'{scheduler}' is an address with TLS, for which no files are given."
        remedy = "Give --tls-ca, --tls-cert and --tls-key, or the same in Dask's configuration (distributed.comm.tls)."
        raise ScenarioError([Fault("--scheduler", problem, remedy)]) from None
    except (OSError, ValueError) as error:
        also = ", sees that it speaks TLS with these files" if tls is not None else ""
        raise MachineError(
            f"no Dask scheduler answers at {scheduler} ({error}); start one with `dask scheduler`{also}, "
            "or leave --scheduler out to use this machine"
        ) from None


def unprotected(addresses: Iterable[str]) -> str:
    """A warning if one of the addresses is open to other machines without TLS; "" if none is."""
    for address in addresses:
        if address.startswith("tcp://") and not _is_loopback(get_address_host(address)):
            return (
                f"{address} listens without TLS: whoever reaches it over the network can run code as you. Start "
                "scheduler and workers with TLS, and give --tls-ca, --tls-cert and --tls-key"
            )
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def own_cluster(folder: Path, *, dashboard: bool = False) -> Iterator[Any]:
    """A cluster on this machine, with files in `folder` and no worker yet (`scale` starts them).

    Its scheduler and workers speak to nobody but holders of a key that is made here and never stored in a file that
    others could read. The `dashboard`, if wanted, is a web page that every user of this machine can look at.
    """
    new_cluster: Any = LocalCluster
    others = set(multiprocessing.active_children())
    with dask.config.set(_SETTINGS):
        cluster = new_cluster(
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            host=LOOPBACK,
            security=Security.temporary(),  # type: ignore[no-untyped-call]
            dashboard_address=f"{LOOPBACK}:0" if dashboard else None,
            scheduler_kwargs={} if dashboard else {"dashboard": False, "dashboard_address": f"{LOOPBACK}:0"},
            memory_limit=0,  # runs are in processes of their own, and have limits of their own
            local_directory=str(folder),
            silence_logs=logging.CRITICAL,
        )
        try:
            yield cluster
        finally:
            with contextlib.suppress(Exception):
                cluster.close(timeout=CLOSE)
            _end([process for process in multiprocessing.active_children() if process not in others])


def _end(left: list[Any]) -> None:
    """Kill processes that are left: one that stands still would be waited for without limit when this one exits."""
    for process in left:
        process.kill()
    for process in left:
        process.join(CLOSE)
