"""The plan of a batch: which runs there are, what each simulates, what makes its key."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cosim
from cosim.errors import ScenarioError
from cosim.manifest import scenario_hash
from cosim.perturbations import perturbation_kinds
from runs.batch.addressing import PathError, assign, locations, parse_path
from runs.batch.file import BatchFile, batch_from_mapping, load_batch
from runs.batch.plan import Plan, make_plan
from runs.batch.values import Distribution

MODELS = Path(__file__).parent / "models"
SHIPPED = Path(__file__).parents[1] / "runs"

BASE = """\
name: base
seed: 7
horizon: {start: 2014-01-16 12:00, duration: 30 min}
weather: {table: melbourne_2014_01}
federates:
  - {name: a, model: {kind: MODELS/follower.py}}
  - {name: b, model: {kind: MODELS/follower.py, gain: 0.25}}
links:
  - {source: a.y, destination: b.x}
limits: {step: 5 s}
""".replace("MODELS", str(MODELS))


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    """Plan a batch of the base scenario, given as settings."""
    (tmp_path / "base.yaml").write_text(BASE)

    def plan(**batch: Any) -> Plan:
        return make_plan(batch_from_mapping({"name": "b", "scenario": "base.yaml", **batch}, tmp_path))

    return plan


def values(plan: Plan, *labels: str) -> list[tuple[Any, ...]]:
    return [tuple(variant.parameters.get(label) for label in labels) for variant in plan.variants]


GAIN, STEP = "federates[a].model.gain", "horizon.step"


def test_blocks_combine_in_order_and_the_last_parameter_changes_fastest(planned: Callable[..., Plan]) -> None:
    plan = planned(
        vary=[{"grid": {GAIN: [0.1, 0.2], STEP: ["30 s", "60 s"]}}, {"seeds": {"count": 3, "first": 5}}],
    )
    expected = [(g, s, seed) for g, s, seed in product([0.1, 0.2], ["30 s", "60 s"], [5, 6, 7])]
    assert values(plan, GAIN, STEP, "seed") == expected
    assert [variant.run for variant in plan.variants] == [f"{number:04d}" for number in range(1, 13)]
    assert [variant.number for variant in plan.variants] == list(range(1, 13))
    assert not plan.invalid
    assert len({variant.key for variant in plan.variants}) == 12


def test_zip_and_list_take_their_values_side_by_side(planned: Callable[..., Plan]) -> None:
    plan = planned(
        vary=[
            {"zip": {GAIN: [0.1, 0.2], STEP: {"start": "30 s", "stop": "60 s", "count": 2}}},
            {"list": [{"seed": 1}, {"seed": 9}]},
        ]
    )
    assert values(plan, GAIN, STEP, "seed") == [
        (0.1, "30 s", 1),
        (0.1, "30 s", 9),
        (0.2, "60 s", 1),
        (0.2, "60 s", 9),
    ]


def test_groups_have_settings_and_parameters_of_their_own(planned: Callable[..., Plan]) -> None:
    plan = planned(
        vary=[{"grid": {GAIN: [0.1, 0.2]}}],
        groups=[
            {"name": "shared"},
            {"name": "separate", "set": {"placement": "separate"}, "vary": [{"seeds": {"count": 2}}]},
        ],
    )
    assert [variant.group for variant in plan.variants] == ["shared"] * 2 + ["separate"] * 4
    assert [variant.load().placement for variant in plan.variants] == ["shared"] * 2 + ["separate"] * 4
    assert values(plan, GAIN, "seed") == [(0.1, None), (0.2, None), (0.1, 1), (0.1, 2), (0.2, 1), (0.2, 2)]
    assert plan.labels == (GAIN, "seed")


def test_a_batch_that_varies_nothing_is_one_run_of_its_scenario(planned: Callable[..., Plan], tmp_path: Path) -> None:
    plan = planned()
    assert len(plan.variants) == 1
    assert scenario_hash(plan.variants[0].load()) == scenario_hash(cosim.load(tmp_path / "base.yaml"))


@pytest.mark.parametrize(
    ("path", "value", "line", "by_hand"),
    [
        ("federates[b].model.gain", 0.75, "gain: 0.25", "gain: 0.75"),
        ("federates.b.model.gain", 0.75, "gain: 0.25", "gain: 0.75"),
        ("federates[1].model.gain", 0.75, "gain: 0.25", "gain: 0.75"),
        ("weather", {"table": "victoria_2014_01"}, "melbourne_2014_01", "victoria_2014_01"),
        ("horizon.duration", "60 min", "30 min", "60 min"),
        ("outputs.chunk", "1 h", "limits:", "outputs: {chunk: 1 h}\nlimits:"),
        ("links[0].gain", 2, "destination: b.x", "destination: b.x, gain: 2"),
        ("limits.start", "9 s", "{step: 5 s}", "{step: 5 s, start: 9 s}"),
        ("seed", 8, "seed: 7", "seed: 8"),
    ],
)
def test_a_value_set_by_path_is_a_value_written_in_the_file(
    planned: Callable[..., Plan], tmp_path: Path, path: str, value: Any, line: str, by_hand: str
) -> None:
    assert line in BASE
    (tmp_path / "hand.yaml").write_text(BASE.replace(line, by_hand))
    variant = planned(vary=[{"grid": {path: [value]}}]).batch
    from runs.batch.plan import variant_scenario

    assert scenario_hash(variant_scenario(variant, None, {path: value})) == scenario_hash(
        cosim.load(tmp_path / "hand.yaml")
    )


def test_a_star_means_every_entry(planned: Callable[..., Plan]) -> None:
    plan = planned(vary=[{"grid": {"federates[*].model.gain": [0.9]}}])
    scenario = plan.variants[0].load()
    assert [extra.model.settings["gain"] for extra in scenario.federates] == [0.9, 0.9]


def test_a_label_is_the_name_of_the_parameter(planned: Callable[..., Plan]) -> None:
    plan = planned(parameters={"speed": GAIN}, vary=[{"grid": {"speed": [0.1]}}])
    assert plan.labels == ("speed",)
    assert plan.variants[0].load().federates[0].model.settings["gain"] == 0.1


def test_a_kind_set_by_a_group_brings_its_own_settings(planned: Callable[..., Plan]) -> None:
    ticker = str(MODELS / "ticker.py")
    plan = planned(
        set={"links": []},
        groups=[
            {"name": "follower", "vary": [{"grid": {GAIN: [0.1]}}]},
            {
                "name": "ticker",
                "set": {"federates[a].model": {"kind": ticker}},
                "vary": [{"grid": {"federates[a].model.interval": ["2 min"]}}],
            },
        ],
    )
    assert [variant.error for variant in plan.variants] == ["", ""]
    with pytest.raises(ScenarioError, match="there is no setting 'gain' in federates"):
        planned(set={"federates[a].model": {"kind": ticker}}, vary=[{"grid": {GAIN: [0.1]}}])


def test_an_unnamed_perturbation_has_the_name_that_results_give_it() -> None:
    kind = perturbation_kinds()[0]
    document = {"perturbations": [{"kind": kind}]}
    assert locations(document, f"perturbations[{kind}_1].name", Path()) == [("perturbations", 0, "name")]


# ------------------------------------------------------------------------------------ invalid runs


def test_a_refused_value_makes_its_run_invalid_and_names_the_place(planned: Callable[..., Plan]) -> None:
    plan = planned(
        parameters={"speed": GAIN},
        vary=[{"grid": {"speed": [0.5, "fast"], "weather.table": ["melbourne_2014_01", "atlantis"]}}],
    )
    assert [variant.valid for variant in plan.variants] == [True, False, False, False]
    assert "base.yaml:4: weather.table: " in plan.variants[1].error
    text = plan.variants[2].error
    assert text.startswith("with speed = fast, weather.table = melbourne_2014_01: base.yaml:6: federates[0].model.gain")
    assert "must be a number, got 'fast'" in text
    assert [(variant.scenario, variant.key) for variant in plan.invalid] == [(None, "")] * 3


def test_what_only_the_wiring_finds_makes_a_run_invalid_too(planned: Callable[..., Plan]) -> None:
    plan = planned(vary=[{"grid": {"links[0].source": ["a.y", "a.nothing"]}}])
    assert [variant.valid for variant in plan.variants] == [True, False]
    assert "there is no output 'nothing'" in plan.variants[1].error


# ------------------------------------------------------------------------------------------- keys


def test_the_key_holds_what_changes_results_and_nothing_else(planned: Callable[..., Plan]) -> None:
    def key(**batch: Any) -> str:
        return planned(**batch).variants[0].key

    plain = key()
    assert plain == key()
    same: list[dict[str, Any]] = [
        {"name": "other"},
        {"description": "why"},
        {"limits": {"time": "5 min"}},
        {"retries": 5},
        {"seed": 3},
        {"set": {"limits.step": "3 s"}},
        {"set": {"description": "a run"}},
        {"baseline": False},  # without perturbations there is no twin
        {"set": {"federates[1].model.gain": 0.25}},  # as it was
    ]
    assert [key(**batch) for batch in same] == [plain] * len(same)
    other: list[dict[str, Any]] = [
        {"set": {"seed": 8}},
        {"set": {GAIN: 0.1}},
        {"set": {"horizon.duration": "31 min"}},
        {"keep": "none"},
        {"keep": ["a.y"]},
        {"figures": {"top": {"of": "a.y"}}},
        {"figures": {"top": {"of": "a.y", "reduce": "min"}}},
        {"report_per_run": True},
    ]
    keys = [key(**batch) for batch in other]
    assert len({plain, *keys}) == len(other) + 1


def test_the_key_follows_the_bytes_of_input_files_and_not_their_place(tmp_path: Path) -> None:
    weather = Path(__file__).parents[1] / "feeders" / "tables"
    table = next(path for path in sorted(weather.rglob("melbourne_2014_01*")) if path.is_file())

    def key(folder: Path, change: bool = False) -> str:
        folder.mkdir()
        (folder / "base.yaml").write_text(
            BASE.replace("melbourne_2014_01", f"{table.name}").replace(str(MODELS / "follower.py"), "./follower.py")
        )
        shutil.copy(table, folder / table.name)
        shutil.copy(MODELS / "follower.py", folder / "follower.py")
        if change:
            with (folder / "follower.py").open("a") as file:
                file.write("# changed\n")
        plan = make_plan(batch_from_mapping({"name": "b", "scenario": "base.yaml"}, folder))
        assert not plan.invalid, plan.invalid[0].error
        return plan.variants[0].key

    first = key(tmp_path / "here")
    assert key(tmp_path / "there") == first
    assert key(tmp_path / "changed", change=True) != first


def test_a_file_that_a_batch_names_counts_from_the_batch_file(tmp_path: Path) -> None:
    """Also where the scenario stands elsewhere; what is not there counts from the scenario, as if that said it."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "base.yaml").write_text(BASE)
    (tmp_path / "batches").mkdir()
    table = (Path(__file__).parents[1] / "feeders" / "tables").rglob("melbourne_2014_01*.csv")
    shutil.copy(next(table), tmp_path / "batches" / "mine.csv")
    shutil.copy(tmp_path / "batches" / "mine.csv", tmp_path / "scenarios" / "theirs.csv")
    names = ["mine.csv", "theirs.csv"]
    batch = {"name": "b", "scenario": "../scenarios/base.yaml", "vary": [{"grid": {"weather.table": names}}]}
    plan = make_plan(batch_from_mapping(batch, tmp_path / "batches"))
    assert [variant.error for variant in plan.variants] == ["", ""]
    tables = [variant.scenario["weather"]["table"] for variant in plan.variants if variant.scenario is not None]
    assert tables == ["../batches/mine.csv", "theirs.csv"]


def test_runs_that_repeat_others_are_remarked(planned: Callable[..., Plan]) -> None:
    plan = planned(vary=[{"grid": {GAIN: [0.1, 0.2, 0.1]}}])
    assert plan.remarks == ("1 runs repeat others, with equal results; the first: 0001, 0003",)


def test_the_plan_is_the_same_every_time_and_survives_its_own_json(planned: Callable[..., Plan]) -> None:
    batch = planned(
        vary=[{"grid": {GAIN: {"start": 0.1, "stop": 0.3, "step": 0.1}}}],
        sample={"n": 4, "parameters": {STEP: {"distribution": "choice", "values": ["30 s", "60 s"]}}},
        figures={"top": {"of": "a.y", "reduce": "quantile(0.9)", "during": ["12:00", "13:00"]}},
        limits={"memory": "2 GB", "time": "5 min"},
        keep=["a.*"],
    ).batch
    plan = make_plan(batch)
    again = batch_from_mapping(json.loads(json.dumps(batch.as_mapping())), batch.folder)
    assert make_plan(again).hash == plan.hash
    assert [variant.key for variant in make_plan(again).variants] == [variant.key for variant in plan.variants]
    assert batch.limits.memory == 2e9


# ----------------------------------------------------------------------------------- ranges, samples


@pytest.mark.parametrize(
    ("given_range", "expected"),
    [
        ({"start": 0.1, "stop": 0.5, "step": 0.1}, (0.1, 0.2, 0.3, 0.4, 0.5)),
        ({"start": 1, "stop": 7, "step": 3}, (1, 4, 7)),
        ({"start": 5, "stop": 1, "step": -2}, (5, 3, 1)),
        ({"start": 0, "stop": 1, "step": 0.4}, (0.0, 0.4, 0.8)),
        ({"start": 0, "stop": 1, "count": 5}, (0.0, 0.25, 0.5, 0.75, 1.0)),
        ({"start": 1, "stop": 1000, "count": 4, "scale": "log"}, (1, 10, 100, 1000)),
        ({"start": "38 degC", "stop": "39 degC", "step": "0.5 degC"}, ("38 degC", "38.5 degC", "39 degC")),
        ([1, "two", {"three": 3}], (1, "two", {"three": 3})),
    ],
)  # fmt: skip
def test_ranges_have_these_values(given_range: Any, expected: tuple[Any, ...]) -> None:
    batch = {"name": "b", "scenario": str(MODELS / "follower.py"), "vary": [{"grid": {"x": given_range}}]}
    assert BatchFile.model_validate(batch).vary[0].grid["x"].all() == expected


def column(plan: Plan, label: str) -> np.ndarray:
    return np.array([variant.parameters[label] for variant in plan.variants])


def test_a_latin_hypercube_has_one_point_in_every_stratum(planned: Callable[..., Plan]) -> None:
    """The definition of McKay, Beckman and Conover (Technometrics 21, 1979)."""
    sample = {"n": 50, "parameters": {GAIN: {"low": 0.2, "high": 0.7}, "links[0].gain": {"low": 1, "high": 2}}}
    plan = planned(sample=sample)
    for label, low, width in ((GAIN, 0.2, 0.5), ("links[0].gain", 1, 1)):
        strata = np.floor((column(plan, label) - low) / width * 50).astype(int)
        assert sorted(strata) == list(range(50))
    again, other = planned(sample=sample), planned(sample=sample, seed=2)
    assert np.array_equal(column(plan, GAIN), column(again, GAIN))
    assert not np.array_equal(column(plan, GAIN), column(other, GAIN))


def test_a_sobol_sequence_fills_elementary_intervals(planned: Callable[..., Plan]) -> None:
    """A (0, m, 2)-net in base 2: each elementary interval of area 2^-m holds one point, scrambled too (Owen 1995)."""
    plan = planned(
        sample={
            "method": "sobol",
            "n": 16,
            "parameters": {GAIN: {"low": 0, "high": 1}, "links[0].gain": {"low": 1, "high": 2}},
        }
    )
    x, y = column(plan, GAIN), column(plan, "links[0].gain") - 1
    for rows in (1, 2, 4, 8, 16):
        cells = np.floor(x * rows) * (16 // rows) + np.floor(y * (16 // rows))
        assert sorted(cells) == list(range(16))


@settings(max_examples=60, deadline=None)
@given(
    quantiles=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20),
    low=st.integers(-5, 5),
    width=st.integers(1, 9),
    kind=st.sampled_from(["uniform", "integer", "log_uniform", "choice"]),
)
def test_drawn_values_lie_in_their_bounds(quantiles: list[float], low: int, width: int, kind: str) -> None:
    if kind == "choice":
        drawn = Distribution(distribution="choice", values=tuple(range(width))).at(np.array(quantiles))
        assert set(drawn) <= set(range(width))
        return
    low = abs(low) + 1 if kind == "log_uniform" else low
    drawn = Distribution.model_validate({"distribution": kind, "low": low, "high": low + width}).at(np.array(quantiles))
    assert all(low <= value <= low + width for value in drawn)
    if kind == "integer":
        assert all(isinstance(value, int) for value in drawn)


def test_drawn_values_follow_their_distribution() -> None:
    """Quantiles by hand: the median of a log-uniform one is the geometric mean of its bounds."""
    middle = np.array([0.5])
    assert Distribution(distribution="log_uniform", low=1, high=100).at(middle) == [10.0]
    assert Distribution(low="20 degC", high="30 degC").at(middle) == ["25 degC"]
    whole = Distribution(distribution="integer", low=1, high=4).at(np.linspace(0, 1, 4, endpoint=False))
    assert whole == [1, 2, 3, 4]


# ------------------------------------------------------------------------------------------ paths


@given(st.lists(st.tuples(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.booleans()), min_size=1, max_size=5))
def test_a_path_is_its_steps(steps: list[tuple[str, bool]]) -> None:
    text = "".join(
        f"[{name}]" if bracket and number else f"{'.' if number else ''}{name}"
        for number, (name, bracket) in enumerate(steps)
    )
    assert parse_path(text) == tuple(name for name, _ in steps)


@pytest.mark.parametrize("path", ["", ".", "a..b", "a.", "a[", "a[]", "a[b", "a]b", ".a", "a[b]c"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(PathError, match="must be a path"):
        parse_path(path)


def test_a_value_where_a_section_should_be_is_refused() -> None:
    with pytest.raises(PathError, match="holds 'hot', not a section"):
        assign({"weather": "hot"}, ("weather", "table"), "x")


# -------------------------------------------------------------------------------- the shipped files


@pytest.mark.parametrize("file", sorted((SHIPPED / "batches").glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_batches_are_valid_throughout(file: Path) -> None:
    plan = make_plan(load_batch(file))
    assert not plan.invalid
    assert file.stem == plan.batch.name
    assert set(plan.figures) == set(plan.batch.figures)


def test_runs_are_counted_over_all_groups_before_any_is_built(planned: Callable[..., Plan]) -> None:
    """4e9 combinations would not fit into memory."""
    huge = {GAIN: {"start": 1, "stop": 2, "count": 2000}, STEP: {"start": 1, "stop": 2, "count": 2000}}
    huge["seed"] = {"start": 1, "stop": 1000, "step": 1}
    with pytest.raises(ScenarioError, match=r"gives 4,000,000,000 runs; at most 1,000,000 are possible"):
        planned(vary=[{"grid": huge}])
    groups = [{"name": name, "vary": [{"seeds": {"count": 600_000}}]} for name in ("one", "two")]
    with pytest.raises(ScenarioError, match=r"gives 1,200,000 runs"):
        planned(groups=groups)
