"""How long messages take over a communication channel, and which of them get lost.

A channel sends one message at a time, in the order in which they came:

    arrival = departure + latency,   departure = max(entry, departure before) + bits / bandwidth

The latency (propagation, switching, medium access) is drawn from the profile's distribution; every
message is lost with the profile's probability, after it took its time on the channel. Message k of
a channel always consumes the k-th pair of numbers of the channel's own random generator: what
happens to a message depends on the generator's key and on k, not on how messages are batched or
on what other channels do.

Times are integer nanoseconds, so that equal times compare equal and batches add up exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


class CommunicationError(ValueError):
    """A latency distribution or a profile that no channel can have."""


class Latency(Protocol):
    """A distribution of latencies [s], all of them above zero."""

    @property
    def mean(self) -> float:
        """The expected latency [s]."""

    def quantile(self, probability: ArrayLike) -> Floats:
        """The latency [s] that a message stays below with `probability` [1] in (0, 1), same shape."""


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise CommunicationError(problem)


@dataclass(frozen=True)
class Constant:
    """Every message takes `mean` [s]."""

    mean: float

    def __post_init__(self) -> None:
        _require(self.mean > 0, f"a constant latency must be above 0 s, got {self.mean} s")

    def quantile(self, probability: ArrayLike) -> Floats:
        """The latency [s] at each `probability` [1], same shape."""
        return np.full(np.shape(probability), self.mean)


@dataclass(frozen=True)
class Uniform:
    """Any latency from `low` to `high` [s] is as likely as another."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require(
            0 < self.low <= self.high,
            f"a uniform latency needs 0 < low <= high, got low {self.low} s and high {self.high} s",
        )

    @property
    def mean(self) -> float:
        """The expected latency [s]."""
        return (self.low + self.high) / 2

    def quantile(self, probability: ArrayLike) -> Floats:
        """The latency [s] at each `probability` [1], same shape."""
        return self.low + (self.high - self.low) * np.asarray(probability, float)


@dataclass(frozen=True)
class LogNormal:
    """exp(N(ln median, sigma²)): `median` [s], `sigma` [1] the standard deviation of the logarithm."""

    median: float
    sigma: float

    def __post_init__(self) -> None:
        _require(
            self.median > 0 and self.sigma > 0,
            f"a lognormal latency needs median and sigma above 0, got {self.median} s and {self.sigma}",
        )

    @property
    def mean(self) -> float:
        """The expected latency [s]."""
        return self.median * math.exp(self.sigma**2 / 2)

    def quantile(self, probability: ArrayLike) -> Floats:
        """The latency [s] at each `probability` [1], same shape."""
        from scipy.special import ndtri

        return np.asarray(self.median * np.exp(self.sigma * ndtri(probability)))


@dataclass(frozen=True)
class ShiftedGamma:
    """`minimum` [s] plus a gamma variable of `shape` [1], so that the mean latency is `mean` [s].

    The minimum is what distance and processing cost at best; the gamma part is waiting and
    retransmission (shape 1 is exponential; the larger the shape, the more symmetric).
    """

    minimum: float
    mean: float
    shape: float

    def __post_init__(self) -> None:
        _require(
            0 < self.minimum < self.mean and self.shape > 0,
            "a shifted gamma latency needs 0 < minimum < mean and shape > 0, got minimum "
            f"{self.minimum} s, mean {self.mean} s, shape {self.shape}",
        )

    def quantile(self, probability: ArrayLike) -> Floats:
        """The latency [s] at each `probability` [1], same shape."""
        from scipy.special import gammaincinv

        scale = (self.mean - self.minimum) / self.shape
        return np.asarray(self.minimum + scale * gammaincinv(self.shape, probability))


@dataclass(frozen=True)
class Profile:
    """What a channel is like.

    `bandwidth` [bit/s]; `loss` probability [1]; `max_queue` [B]: a message that would make the bytes
    waiting and under way exceed it is dropped on entry; `shared`: all senders and receivers of one
    link use one channel (a radio cell), otherwise each pair has its own (a line); `outage`: whether
    messages sent while the link is down are dropped, or held until it is back; `source`: where the
    figures come from.
    """

    latency: Latency
    bandwidth: float = math.inf
    loss: float = 0.0
    max_queue: float = math.inf
    shared: bool = False
    outage: Literal["drop", "hold"] = "drop"
    source: str = ""

    def __post_init__(self) -> None:
        _require(self.bandwidth > 0, f"a bandwidth must be above 0 bit/s, got {self.bandwidth}")
        _require(0 <= self.loss <= 1, f"a loss probability must be from 0 to 1, got {self.loss}")
        _require(self.max_queue > 0, f"a queue must hold more than 0 B, got {self.max_queue}")


#: Small and honest: each row says which of its figures are published and which are assumed.
PROFILES: dict[str, Profile] = {
    "ideal": Profile(
        Constant(1e-6),
        source="An idealisation for comparison: 1 µs, unlimited bandwidth, no loss.",
    ),
    "fibre": Profile(
        ShiftedGamma(minimum=1e-3, mean=2e-3, shape=2.0),
        bandwidth=100e6,
        loss=1e-6,
        source=(
            "Minimum: 200 km of single-mode fibre at a group index of 1.468 (ITU-T G.652 fibre: 4.9 µs/km), "
            "0.98 ms. Bandwidth: a 100BASE-FX port (IEEE 802.3). Assumed: 1 ms mean of switching, loss."
        ),
    ),
    "lte": Profile(
        ShiftedGamma(minimum=12e-3, mean=30e-3, shape=2.0),
        bandwidth=1e6,
        loss=2.5e-4,
        source=(
            "Minimum: 12.2 ms one way on the downlink, 21 ms on the uplink, radio and core only (J. Pomy, "
            "'One-way delays in operating LTE networks', ITU workshop on QoS and QoE, Buenos Aires, 2014, "
            "after 3GPP TR 25.912). Loss: 20 of 80,000, the worse of two operators (Y. Xu, 'Latency and "
            "bandwidth analysis of LTE for a smart grid', KTH XR-EE-RT 2011:018, table 6.1). Bandwidth: peak "
            "rate of category M1 (3GPP release 13). Assumed: 30 ms mean with the way to the control centre."
        ),
    ),
    "rf_mesh": Profile(
        LogNormal(median=1.0, sigma=1.0),
        bandwidth=12.5e3,
        loss=0.01,
        max_queue=64e3,
        shared=True,
        source=(
            "Bandwidth: the mandatory 50 kbit/s of IEEE 802.15.4g (MR-FSK), shared by all, a quarter of it "
            "left after an assumed 4 hops on one frequency. Assumed: median 1 s and sigma 1 (95 % below "
            "5.2 s, 99 % below 10.2 s), loss after retries 1 %, a queue of 64 kB at the collector. "
            "A network for meter readings, not for control within seconds."
        ),
    ),
}


def departures(entry: Integers, service: Integers, free_at: int) -> Integers:
    """When a first-in-first-out channel has sent each message.

    `entry` [ns] (n), not falling; `service` [ns] (n), the time that each needs; the channel is free
    from `free_at` [ns]. Returns departures [ns] (n). Lindley's recursion d_i = max(e_i, d_(i-1)) + s_i
    in closed form: with S_i = s_1 + ... + s_i, d_i = S_i + max(free_at, max over j <= i of e_j - S_(j-1))
    (D. V. Lindley, Proc. Cambridge Phil. Soc. 48, 1952, doi:10.1017/S0305004100027638).
    """
    total = np.cumsum(service)
    return np.asarray(total + np.maximum(np.maximum.accumulate(entry - (total - service)), free_at))


def admitted(entry: Integers, service: Integers, free_at: int, max_wait: float) -> Flags:
    """Which messages find room in a queue that holds `max_wait` [ns] of sending time (drop-tail).

    `entry`, `service` and `free_at` as in `departures`. A message is admitted if what is left to send
    when it comes, itself included, takes at most `max_wait`. Returns flags (n).
    """
    if math.isinf(max_wait):
        return np.ones(len(entry), bool)
    room = np.zeros(len(entry), bool)
    # One by one: whether a message fits depends on which of those before it did.
    for i, (time, needs) in enumerate(zip(entry.tolist(), service.tolist(), strict=True)):
        departure = max(time, free_at) + needs
        if departure - time <= max_wait:
            room[i], free_at = True, departure
    return room


class Channel:
    """One channel: its profile, its random numbers, and until when it is busy."""

    def __init__(self, profile: Profile, generator: np.random.Generator) -> None:
        """`generator`: the channel's own, keyed by what identifies the channel; nobody else draws from it."""
        self.profile = profile
        self._generator = generator
        self._free_at = 0
        self._max_wait = (
            math.inf if math.isinf(profile.max_queue) else math.ceil(profile.max_queue * 8e9 / profile.bandwidth)
        )

    def send(self, entry: Integers, size: Integers) -> tuple[Integers, Flags]:
        """Send messages that enter at `entry` [ns] (n), not falling over all calls, of `size` [B] (n).

        Returns arrivals [ns] (n), at least 1 ns after entry, and flags (n): true for those that
        arrive; the arrival of another is meaningless.
        """
        kept, latency = self._fate(len(entry))
        service = np.ceil(size * (8e9 / self.profile.bandwidth)).astype(np.int64)
        room = admitted(entry, service, self._free_at, self._max_wait)
        arrival = np.zeros(len(entry), np.int64)
        if room.any():
            departure = departures(entry[room], service[room], self._free_at)
            self._free_at = int(departure[-1])
            arrival[room] = departure + latency[room]
        return arrival, room & kept

    def skip(self, count: int) -> None:
        """Drop `count` messages unsent; the ones after them keep their random numbers."""
        self._fate(count)

    def backlog(self, time: int) -> float:
        """What is left to send at `time` [ns], in bytes [B]."""
        if math.isinf(self.profile.bandwidth):
            return 0.0
        return max(self._free_at - time, 0) * self.profile.bandwidth / 8e9

    def _fate(self, count: int) -> tuple[Flags, Integers]:
        """For the next `count` messages: which are kept, and their latency [ns]."""
        number = self._generator.random((count, 2))
        # random() may give 0, at which a quantile may be 0 s or no number at all; 1 - u is in (0, 1].
        probability = np.minimum(1.0 - number[:, 1], np.nextafter(1.0, 0.0))
        latency = np.ceil(self.profile.latency.quantile(probability) * 1e9).astype(np.int64)
        return number[:, 0] >= self.profile.loss, latency
