import json
from datetime import datetime

import numpy as np
import pytest
from pydantic import ValidationError

from cosim.contract import Context, Exchange, Message
from cosim.errors import ConfigError
from federates.communications import BIN_EDGES, Communications

MS, S = 10**6, 10**9
STEP = 60 * S


def context(**changes):
    fields = {"name": "communications", "seed": 7, "start": datetime(2014, 1, 16), "duration": 3600 * S}
    return Context(**{**fields, "step": STEP, **changes})


def carrier(settings=None, **changes):
    return Communications(Communications.Config.model_validate(settings or {}), context(**changes))


def constant(mean, **settings):
    return {"latency": {"distribution": "constant", "mean": mean}, **settings}


def step(federate, time, messages=(), available=None):
    ports = {port.name: port for port in federate.ports()}
    links = ports["link_available"].shape
    given = np.ones(links) if available is None else np.asarray(available, float)
    result = federate.solve(time, Exchange(values={"link_available": given}, messages=messages))
    federate.commit(time)
    outputs = {name: port for name, port in ports.items() if port.direction == "out"}
    assert set(result.values) == set(outputs)
    for name, port in outputs.items():
        assert result.values[name].shape == port.shape, name
        assert np.isfinite(result.values[name]).all(), name
    counts = result.values
    np.testing.assert_array_equal(counts["sent"], counts["delivered"] + counts["dropped"] + counts["in_flight"])
    np.testing.assert_array_equal(counts["latency_histogram"].sum(axis=1), counts["delivered"])
    return result


def reading(number, sent, source="feeder/home_1", destination="dispatch"):
    return Message(source, destination, sent, {"power_MW": 0.5, "number": number})


def numbers(result):
    return [message.payload["number"] for message in result.messages]


def test_it_is_the_carrier_and_steps_each_base_step():
    federate = carrier()
    assert federate.messaging == "carrier"
    assert federate.next_time(0) == STEP


def test_a_message_is_delivered_unchanged_at_the_first_step_after_its_arrival():
    federate = carrier({"profile": "slow", "profiles": {"slow": constant("90 s")}})
    message = reading(1, 0)
    assert not step(federate, 60 * S, [message]).messages
    result = step(federate, 120 * S)
    assert list(result.messages) == [message]
    assert result.values["latency_mean"].tolist() == [90.0]
    assert result.values["latency_max"].tolist() == [90.0]
    later = step(federate, 180 * S)
    assert later.values["latency_mean"].tolist() == [0.0]
    assert later.values["delivered"].tolist() == [1.0]


def test_nothing_sent_now_is_delivered_now():
    federate = carrier({"profile": "ideal"})
    assert not step(federate, 60 * S, [reading(1, 60 * S)]).messages
    assert numbers(step(federate, 120 * S)) == [1]


def test_the_size_is_the_payload_as_json_plus_the_header():
    message = reading(1, 0)
    size = len(json.dumps(message.payload, separators=(",", ":"))) + 62
    federate = carrier({"profile": "thin", "profiles": {"thin": constant("1 s", bandwidth="1 bit/s")}})
    result = step(federate, 60 * S, [message])
    assert result.values["queue"] == pytest.approx([size - 60 / 8])
    due = size * 8 * S + S
    for time in range(120 * S, due, STEP):
        assert not step(federate, time).messages
    assert len(step(federate, due // STEP * STEP + STEP).messages) == 1


def test_the_first_matching_link_takes_the_message():
    federate = carrier(
        {
            "profile": "ideal",
            "links": [
                {"name": "meters", "source": "feeder/*", "destination": "dispatch", "profile": "m"},
                {"name": "feeder", "source": "feeder/*", "profile": "ideal"},
            ],
            "profiles": {"m": constant("1 ms")},
        }
    )
    (port,) = (port for port in federate.ports() if port.name == "link_available")
    assert port.coordinates == {"link": ("meters", "feeder", "default")}
    assert port.initial == 1.0
    messages = [
        reading(1, 0),
        reading(2, 0, destination="other"),
        reading(3, 0, source="dispatch", destination="feeder/home_1"),
    ]
    result = step(federate, 60 * S, messages)
    assert result.values["delivered"].tolist() == [1, 1, 1]
    assert result.values["latency_max"] == pytest.approx([1e-3, 1e-6, 1e-6])


def test_messages_that_arrive_together_come_by_source_then_in_the_order_sent():
    federate = carrier({"profile": "same", "profiles": {"same": constant("1 s")}})
    messages = [
        reading(1, 0, source="b", destination="z"),
        reading(2, 0, source="b", destination="y"),
        reading(3, 0, source="a"),
        reading(4, 0, source="b", destination="z"),
    ]
    assert numbers(step(federate, 60 * S, messages)) == [3, 1, 2, 4]


def test_later_messages_may_overtake_where_latency_is_random():
    wild = {"latency": {"distribution": "lognormal", "median": "10 s", "sigma": 1.0}}
    federate = carrier({"profile": "wild", "profiles": {"wild": wild}})
    messages = [reading(number, number * S) for number in range(50)]
    arrived = numbers(step(federate, 600 * S, messages))
    assert sorted(arrived) == list(range(50))
    assert arrived != sorted(arrived)


def test_a_shared_link_queues_all_senders_and_a_private_one_does_not():
    messages = [reading(number, 0, source=f"feeder/home_{number}") for number in range(10)]
    delays = {}
    for shared in (True, False):
        profile = constant("1 ms", bandwidth="1 kbit/s", shared=shared)
        federate = carrier({"profile": "p", "profiles": {"p": profile}})
        delays[shared] = step(federate, 60 * S, messages).values["latency_max"][0]
    assert delays[True] - 1e-3 == pytest.approx(10 * (delays[False] - 1e-3), rel=1e-6)


@pytest.mark.parametrize("outage", ["drop", "hold"])
def test_an_outage_drops_or_holds_what_is_sent_meanwhile(outage):
    federate = carrier({"profile": "p", "profiles": {"p": constant("90 s", outage=outage)}})
    step(federate, 60 * S, [reading(1, 0)])
    # The link is down at 120 s and 180 s; what was under way before still arrives.
    assert numbers(step(federate, 120 * S, [reading(2, 60 * S)], available=[0.0])) == [1]
    down = step(federate, 180 * S, [reading(3, 120 * S)], available=[0.0])
    assert not down.messages
    back = step(federate, 240 * S, [reading(4, 200 * S)])
    assert not back.messages
    later = step(federate, 360 * S)
    if outage == "drop":
        assert down.values["dropped"].tolist() == [2]
        assert down.values["queue"].tolist() == [0]
        assert numbers(later) == [4]
    else:
        assert down.values["dropped"].tolist() == [0]
        assert down.values["queue"][0] > 2 * 62
        assert numbers(later) == [2, 3, 4]
        # Held from 60 s, sent at 240 s, 90 s under way: 270 s.
        assert later.values["latency_max"].tolist() == [270.0]
        assert later.values["queue"].tolist() == [0]


def test_an_outage_changes_nothing_for_messages_outside_it():
    wild = {"latency": {"distribution": "uniform", "low": "1 ms", "high": "50 s"}, "loss": 0.3}
    fates = {}
    for down in (False, True):
        federate = carrier({"profile": "p", "profiles": {"p": wild}})
        for minute in range(1, 41):
            available = [0.0] if down and minute == 10 else [1.0]
            sent = (minute - 1) * STEP
            result = step(federate, minute * STEP, [reading(minute, sent)], available)
            fates[down, minute] = result.values["latency_max"][0]
    assert fates[True, 10] == 0
    rest = [minute for minute in range(1, 41) if minute != 10]
    assert [fates[True, minute] for minute in rest] == [fates[False, minute] for minute in rest]
    assert len({fates[False, minute] for minute in rest}) > 10


def test_the_histogram_counts_by_upper_edge():
    rules = [{"name": f"l{i}", "source": f"s{i}", "profile": f"p{i}"} for i in range(3)]
    profiles = {"p0": constant("1 ms"), "p1": constant("1001 us"), "p2": constant("2000 s")}
    federate = carrier({"links": rules, "profiles": profiles})
    messages = [reading(i, 0, source=f"s{i}") for i in range(3)]
    histogram = step(federate, 3600 * S, messages).values["latency_histogram"]
    assert np.argmax(histogram, axis=1)[:3].tolist() == [0, 1, len(BIN_EDGES)]
    assert histogram.sum() == 3


def run(seed, order=1, extra=False):
    federate = carrier(
        {"profile": "rf_mesh", "links": [{"name": "set", "source": "dispatch", "profile": "lte"}]}, seed=seed
    )
    log = []
    for minute in range(1, 20):
        messages = [reading(home, (minute - 1) * STEP, source=f"feeder/home_{home:02}") for home in range(40)]
        if extra:
            messages += [reading(99, (minute - 1) * STEP, source="dispatch", destination="feeder")]
        result = step(federate, minute * STEP, messages[::order])
        log += [(minute, m.source, m.sent) for m in result.messages if m.source != "dispatch"]
        log.append(result.values["queue"][1])
    return log


def test_one_seed_one_result():
    assert run(1) == run(1)
    assert run(1) != run(2)


def test_the_order_in_the_inbox_and_the_traffic_elsewhere_do_not_matter():
    assert run(1) == run(1, order=-1)
    assert run(1) == run(1, extra=True)


@pytest.mark.parametrize(
    ("settings", "field", "problem"),
    [
        ({"profile": "smoke"}, "profile", "no communications profile 'smoke'"),
        ({"links": [{"name": "a", "profile": "smoke"}]}, "links.0.profile", "'smoke'"),
        ({"links": [{"name": "default", "profile": "lte"}]}, "links.0.name", "taken"),
        ({"links": [{"name": "a", "profile": "lte"}] * 2}, "links.1.name", "taken"),
        ({"profiles": {"lte": constant("1 s")}}, "profiles.lte", "shipped"),
    ],
)
def test_wrong_names_are_refused_with_their_place(settings, field, problem):
    with pytest.raises(ConfigError, match=problem) as caught:
        carrier(settings)
    assert caught.value.field == field
    assert caught.value.remedy


@pytest.mark.parametrize(
    "profile",
    [
        constant("0 s"),
        constant(5),
        constant("1 s", loss=2),
        constant("1 s", bandwidth="0 bit/s"),
        constant("1 s", bandwidth="1 m/s"),
        {"latency": {"distribution": "pareto", "mean": "1 s"}},
        {"latency": {"distribution": "shifted_gamma", "minimum": "2 s", "mean": "1 s", "shape": 1}},
    ],
)
def test_wrong_profiles_are_refused(profile):
    with pytest.raises(ValidationError):
        Communications.Config.model_validate({"profiles": {"p": profile}})
