"""What the machine refuses, in words: the cause as it gives it, and what to do next."""

from __future__ import annotations

import errno

_ROOM = "Free space, or choose another folder with --out."
_WRITING = "Choose another folder with --out."

#: What to do next, by the number of the error.
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "Raise the limit on the size of files (`ulimit -f`), or choose another folder with --out.",
    errno.EMFILE: "Raise the limit on open files (`ulimit -n`), or run with fewer processes.",
    errno.ENFILE: "The whole machine has no open files left: end other programs.",
    errno.EAGAIN: "Raise the limit on processes (`ulimit -u`), or end other programs.",
    errno.ENOMEM: "The machine has no memory left: end other programs, or run fewer at once.",
    errno.EROFS: _WRITING,
    errno.EACCES: _WRITING,
    errno.EPERM: _WRITING,
    errno.ENOENT: "The folder of the run was moved or deleted meanwhile: leave it where it is, and run again.",
    errno.ENOTDIR: "The folder of the run was moved or deleted meanwhile: leave it where it is, and run again.",
    errno.EIO: "The disk fails: choose a folder on another one with --out.",
    errno.ESTALE: "The network drive is gone: choose another folder with --out.",
}

#: What is the machine's doing whoever meets it; a missing file, say, may be the model's.
OF_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.EIO}
)


def remedy_of(number: int | None) -> str:
    """What to do next where the machine refused with the error `number`; "" where nobody knows."""
    return _REMEDIES.get(number or 0, "")


def of_machine(error: OSError) -> tuple[str, str]:
    """Cause and remedy of what the machine refused."""
    what = f"'{error.filename}'" if error.filename else "what it needs"
    doing = {errno.EMFILE: "open", errno.ENFILE: "open", errno.EAGAIN: "start", errno.ENOMEM: "start"}
    verb = doing.get(error.errno or 0, "write" if error.filename else "use")
    return f"cannot {verb} {what}: {error.strerror or error}.", remedy_of(error.errno)
