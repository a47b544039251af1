"""Several searches that ask for simulations at once: what all of them want next is simulated together.

A search is a function that calls `simulate(points)`. Each runs in a thread of its own, and waits; when every one that
still goes on has asked, the points of all make one generation. So there is work for many workers, and the generations
are the same whatever their number is.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Simulate = Callable[[Floats], Floats]  #: points (k, parameters) -> what is simulated at them (k, m)
T = TypeVar("T")


class _Ended(BaseException):
    """The searches are not wanted any more."""


def in_lockstep(searches: Sequence[Callable[[Simulate], T]], simulate: Simulate) -> list[T]:
    """The results of all `searches`, in order.

    `simulate` is called in this thread. Its exceptions reach the searches that asked; what these raise, is raised here.
    """
    if len(searches) == 1:
        return [searches[0](simulate)]
    asked: queue.SimpleQueue[tuple[int, Floats | None]] = queue.SimpleQueue()
    answers: list[queue.SimpleQueue[Floats | Exception | None]] = [queue.SimpleQueue() for _ in searches]
    results: dict[int, T] = {}
    errors: dict[int, BaseException] = {}

    def work(number: int) -> None:
        def ask(points: Floats) -> Floats:
            asked.put((number, points))
            answer = answers[number].get()
            if answer is None:
                raise _Ended
            if isinstance(answer, Exception):
                raise answer
            return answer

        try:
            results[number] = searches[number](ask)
        except _Ended:
            pass
        except BaseException as error:
            errors[number] = error
        asked.put((number, None))

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(searches))]
    for thread in threads:
        thread.start()
    going = set(range(len(searches)))
    try:
        while going and not errors:
            wanted: dict[int, Floats] = {}
            while len(wanted) < len(going):
                number, points = asked.get()
                if points is None:
                    going.discard(number)
                else:
                    wanted[number] = points
            if wanted and not errors:
                order = sorted(wanted)
                try:
                    found = simulate(np.concatenate([wanted[number] for number in order]))
                except Exception as error:
                    for number in order:
                        answers[number].put(error)
                    continue
                ends = np.cumsum([len(wanted[number]) for number in order])[:-1]
                for number, part in zip(order, np.split(found, ends), strict=True):
                    answers[number].put(part)
    finally:
        for box in answers:
            box.put(None)
        for thread in threads:
            thread.join()
    if errors:
        raise errors[min(errors)]
    return [results[number] for number in range(len(searches))]


__all__ = ["Simulate", "in_lockstep"]
