"""What perturbations do to availability, whatever their settings; and the weather trigger against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cosim.contract import Port
from cosim.perturbations import Target, perturbation_class, perturbation_kinds
from cosim.perturbations.load_trip import LoadTrip
from cosim.perturbations.load_trip_weather import Condition, WhenMet

MINUTE = 60 * 10**9
CLASSES = ("thermostat", "ev_charger", "water_heater", "home")


def target(homes: int) -> Target:
    coordinates = {"device_class": CLASSES, "home": [f"h{number}" for number in range(homes)]}
    return Target("oak", Port("device_available", "1", "in", "", coordinates, initial=1.0))


def trip(share: float, returning: str, devices: list[str]) -> LoadTrip:
    entry = {"time": "10 min", "share": share, "returning": returning, "devices": devices}
    return LoadTrip.model_validate({**entry, "lasting": "20 min", "return_over": "10 min"})


TRIPS = st.builds(
    trip,
    st.floats(0.001, 1.0),
    st.sampled_from(["at_once", "staggered", "random"]),
    st.lists(st.sampled_from(CLASSES), min_size=1, max_size=4, unique=True),
)
HOMES = st.integers(1, 60)
SEEDS = st.integers(0, 2**32)


def available(item: LoadTrip, homes: int, seed: int, minute: float) -> Any:
    return item.effect(int(minute * MINUTE), target(homes), np.random.default_rng(seed))


@given(TRIPS, HOMES, SEEDS)
def test_the_share_trips_at_once(item: LoadTrip, homes: int, seed: int) -> None:
    out = available(item, homes, seed, 0) == 0
    for row, name in zip(out, CLASSES, strict=True):
        expected = max(1, round(item.share * homes)) if name in item.devices else 0
        assert row.sum() == expected


@given(TRIPS, HOMES, SEEDS)
def test_who_is_back_stays_back(item: LoadTrip, homes: int, seed: int) -> None:
    before = available(item, homes, seed, 0)
    for minute in (5, 19.9, 20, 22, 25, 29.9, 30, 31, 1000):
        now = available(item, homes, seed, minute)
        assert (now >= before).all()
        assert set(np.unique(now)) <= {0.0, 1.0}
        before = now
    assert (before == 1).all()


@given(TRIPS, HOMES, SEEDS)
def test_nobody_is_back_too_early(item: LoadTrip, homes: int, seed: int) -> None:
    assert (available(item, homes, seed, 19.99) == available(item, homes, seed, 0)).all()


@given(TRIPS, HOMES, SEEDS)
def test_the_same_devices_are_drawn_again(item: LoadTrip, homes: int, seed: int) -> None:
    assert (available(item, homes, seed, 24) == available(item, homes, seed, 24)).all()


@given(HOMES, SEEDS)
def test_staggered_devices_come_back_evenly(homes: int, seed: int) -> None:
    item = trip(1.0, "staggered", ["home"])
    back = [int(available(item, homes, seed, 20 + minute)[3].sum()) for minute in (0, 2.5, 5, 7.5, 10)]
    even = np.linspace(0, 1, 5) * max(homes - 1, 1)
    assert (np.abs(np.array(back[:-1]) - even[:-1]) <= 1.5).all()
    assert back[-1] == homes


@given(st.integers(0, 40), st.integers(0, 60))
def test_nothing_before_the_onset(at: int, now: int) -> None:
    trigger = trip(1.0, "at_once", ["home"]).model_copy(update={"time": at * MINUTE}).trigger()
    onset = trigger.onset(now * MINUTE, 20.0)
    assert onset == (at * MINUTE if now >= at else None)


TEMPERATURES = st.lists(st.integers(28, 32), min_size=1, max_size=60)


@given(
    TEMPERATURES,
    st.integers(0, 6),
    st.one_of(st.none(), st.integers(0, 30)),
    st.one_of(st.none(), st.integers(1, 30)),
    st.integers(1, 12),
)
@settings(max_examples=300)
def test_the_weather_trigger_against_brute_force(
    temperatures: list[int], held: int, start: int | None, length: int | None, out_for: int
) -> None:
    """The rule in words: it sets in at the first step at which the condition has held without a break for `held`;
    again only for a spell that began after a step without the condition at which all devices were back."""
    end = None if length is None else (start or 0) + length
    condition = Condition(
        temperature_at_least=30.0,
        held_for=f"{held} min",
        window_start=None if start is None else f"{start} min",
        window_end=None if end is None else f"{end} min",
    )
    hot = [
        value >= 30 and (start or 0) <= minute and (end is None or minute < end)
        for minute, value in enumerate(temperatures)
    ]
    trigger = WhenMet(condition, out_for * MINUTE)
    last: int | None = None
    for now in range(len(temperatures)):
        spell = next((now - back for back in range(now + 1) if not hot[now - back]), -1) + 1  # where this spell began
        long_enough = hot[now] and now - spell >= held
        if long_enough and (last is None or spell - 1 >= last + out_for):  # the step before the spell was without
            last = now
        found = trigger.onset(now * MINUTE, float(temperatures[now]))
        assert found == (None if last is None else last * MINUTE)


def test_every_type_is_named_like_its_file_and_documented() -> None:
    for kind in perturbation_kinds():
        found = perturbation_class(kind)
        assert found.__name__ == kind
        assert found.__doc__
        for name, field in found.model_fields.items():
            assert field.description, f"{kind}.{name} has no docstring"


UNITS = {
    "GeneratorTrip": ("generator", "generator_available"),
    "BranchTrip": ("branch", "branch_available"),
    "CommunicationOutage": ("link", "link_available"),
}


@given(st.sampled_from(sorted(UNITS)), st.integers(1, 8), st.data(), st.one_of(st.none(), st.integers(1, 30)))
def test_a_unit_trips_alone_and_returns(kind: str, count: int, data: Any, lasting: int | None) -> None:
    dimension, port = UNITS[kind]
    labels = [f"u{number}" for number in range(count)]
    label = data.draw(st.sampled_from(labels))
    entry = {dimension: label, "time": "10 min"} | ({} if lasting is None else {"lasting": f"{lasting} min"})
    item: Any = perturbation_class(kind).model_validate(entry)
    (found,) = item.targets({"grid": [Port(port, "1", "in", "", {dimension: labels}, initial=1.0)]})
    for minute in (0, 1, 29, 30, 31):
        effect = item.effect(minute * MINUTE, found, np.random.default_rng(0))
        out = lasting is None or minute < lasting
        assert effect.tolist() == [0.0 if out and name == label else 1.0 for name in labels]
