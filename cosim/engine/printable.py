"""Text of others, made fit to be shown, stored and sent: programs print what no terminal should obey."""

from __future__ import annotations

import re

#: Control characters but for the ends of lines and tabs: a terminal obeys them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str, longest: int | None = None) -> str:
    """`text` with control characters and lone surrogates escaped; of a longer one the beginning, and its length."""
    more = 0 if longest is None else len(text) - longest
    text = text[:longest].encode("utf-8", "backslashreplace").decode()
    text = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
    return f"{text}... ({more:,} characters more)" if more > 0 else text


def described(error: BaseException) -> str:
    """The text of an exception, whatever its class makes of it."""
    try:
        return str(error)
    except Exception as second:
        return f"its text cannot be made ({type(second).__name__})"
