"""The program that forks a federation's processes from one that has imported all they need: a warm start.

Made by `cosim/engine/warm.py`, which hands it a listening socket: `python -m cosim.engine.zygote SOCKET OWNER`. It has
one thread, makes no HELICS or GridLAB-D object, and ends with the process OWNER. Each connection is one process: a line
of JSON asks for it, a line each tells its id and, later, its exit code. Who closes the connection ends the process with
all its children.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from cosim.engine import host
from cosim.engine.lifeline import die_with_parent
from cosim.registry import federate_class

#: Threads of native libraries that look after themselves in a fork (jemalloc, by pthread_atfork).
_FORK_SAFE = {"jemalloc_bg_thd"}


@dataclass
class _Child:
    """A process that was forked, and the connection that asked for it."""

    pid: int
    handle: int  #: its pidfd
    connection: socket.socket


class Zygote:
    """Forks processes on request."""

    def __init__(self, listener: socket.socket, owner: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._listener = listener
        self._owner = os.pidfd_open(owner)
        self._children: dict[int, _Child] = {}  # by the connection's file number
        self._kinds: set[str] = set()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._owner, selectors.EVENT_READ, self._end)

    def serve(self) -> NoReturn:
        """Serve until the owner ends."""
        while True:
            for key, _ in self._selector.select():
                key.data(key.fileobj)

    def _end(self, _: Any) -> NoReturn:
        for child in self._children.values():
            _kill_group(child.pid)
        os._exit(0)

    def _accept(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        if struct.unpack("3i", credentials)[1] != os.getuid():
            connection.close()
            return
        request = connection.makefile("rb").readline()
        if request:
            self._begin(connection, json.loads(request))
        else:
            connection.close()

    def _begin(self, connection: socket.socket, request: dict[str, Any]) -> None:
        for kind in request["kinds"]:
            self._import(kind)
        threads = threads_at_risk()
        if threads:
            _tell(connection, error=f"a federate's module has started threads when imported ({', '.join(threads)})")
            connection.close()
            return
        pid = os.fork()
        if pid == 0:
            self._become_host(request)
        child = _Child(pid, os.pidfd_open(pid), connection)
        self._children[connection.fileno()] = child
        self._selector.register(connection, selectors.EVENT_READ, self._closed)
        self._selector.register(child.handle, selectors.EVENT_READ, self._reap(child))
        _tell(connection, pid=pid)

    def _import(self, kind: str) -> None:
        """Import what federates of `kind` need; what fails will fail in their own process, and be told from there."""
        if kind in self._kinds:
            return
        self._kinds.add(kind)
        for module in needed_by(kind):
            with contextlib.suppress(Exception):
                importlib.import_module(module)
        gc.collect()
        gc.freeze()  # so that the children's collections leave the shared pages alone

    def _closed(self, connection: socket.socket) -> None:
        """Nobody wants the process any more."""
        self._selector.unregister(connection)
        child = self._children.get(connection.fileno())
        if child is not None:
            _kill_group(child.pid)

    def _reap(self, child: _Child) -> Callable[[Any], None]:
        def reap(handle: int) -> None:
            self._selector.unregister(handle)
            os.close(handle)
            _kill_group(child.pid)  # before its id can be another's
            _, status = os.waitpid(child.pid, 0)
            _tell(child.connection, code=os.waitstatus_to_exitcode(status))
            self._children.pop(child.connection.fileno(), None)
            if child.connection.fileno() in self._selector.get_map():
                self._selector.unregister(child.connection)
            child.connection.close()

        return reap

    def _become_host(self, request: dict[str, Any]) -> NoReturn:
        """What `python -m cosim.engine.host` finds when it starts, then that."""
        try:
            os.setsid()
            zygote = os.getppid()
            log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            for target in (1, 2):
                os.dup2(log, target)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.closerange(3, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
            os.environ.clear()
            os.environ.update(request["environment"])
            os.chdir(request["directory"])
            if request["directory"] not in sys.path:
                sys.path.append(request["directory"])
            tempfile.tempdir = None
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            die_with_parent(zygote)
            host.main_and_exit(Path(request["scratch"]), request["interface"], request["process"])
        finally:
            os._exit(1)


def _tell(connection: socket.socket, **what: Any) -> None:
    try:
        connection.sendall(json.dumps(what).encode() + b"\n")
    except OSError:  # nobody listens any more
        return


def _kill_group(pid: int) -> None:
    for end in (os.killpg, os.kill):  # just forked, it may have no group of its own yet
        try:
            end(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def threads_at_risk() -> list[str]:
    """Names of this process's further threads that a fork would not survive."""
    names = []
    for thread in Path("/proc/self/task").iterdir():
        name = (thread / "comm").read_text().strip()
        if int(thread.name) != os.getpid() and name not in _FORK_SAFE:
            names.append(name)
    return names


def needed_by(kind: str) -> tuple[str, ...]:
    """The modules that a process with federates of `kind` imports sooner or later, and may have imported before a fork.

    None of a kind that is a file (it may change from run to run) or that cannot be read (its own process will tell).
    """
    if kind.endswith(".py"):
        return ()
    try:
        found = federate_class(kind)
    except Exception:
        return ()
    return (found.__module__, *found.preload)


def serve_forked(listener: socket.socket, owner: int) -> NoReturn:
    """Be the zygote of the process `owner`, which has just forked this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        Zygote(listener, owner).serve()
    finally:
        os._exit(1)


def main() -> None:
    """Serve the socket and owner that the command line names."""
    Zygote(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])).serve()


if __name__ == "__main__":
    main()
