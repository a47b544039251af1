"""A batch's report: its statistics against other packages', what it shows of runs good and bad, and the tutorial."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats
from test_report import EVIL, Page
from typer.testing import CliRunner
from written_runs import MINUTE, Written, out

import cosim
from cosim.batch_folder import finish_run, run_folder, write_batch
from runs.batch.file import batch_from_mapping
from runs.batch.plan import Plan, Variant, make_plan
from runs.batch.row import Row
from runs.batch.table import collect
from runs.batch_report import write_batch_report
from runs.batch_report.factors import Outcome, between_values, rank_correlation
from runs.batch_report.maps import maps
from runs.batch_report.responses import SMOOTH, numeric_band
from runs.cli import app

ROOT = Path(__file__).parents[1]
MODELS = Path(__file__).parent / "models"
RANDOM = np.random.default_rng(7)
STEPS = 30

# --------------------------------------------------------------------------------------- statistics


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_is_that_of_scipy(ties: bool) -> None:
    x = RANDOM.integers(0, 4, 50).astype(float) if ties else RANDOM.random(50)
    y = x**3 + 0.5 * RANDOM.random(50)
    assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_rank_correlation_of_a_constant_cannot_be_told() -> None:
    assert np.isnan(rank_correlation(np.ones(5), np.arange(5.0)))


def test_strength_of_groups_follows_from_the_f_statistic() -> None:
    """Epsilon squared = d1 (F - 1) / (d1 F + d2), with d1 and d2 degrees of freedom, and F of the ranks by scipy."""
    codes = np.repeat([0, 1, 2], 10)
    values = RANDOM.random(30) + 0.4 * codes
    ranks = stats.rankdata(values)
    f = stats.f_oneway(*(ranks[codes == code] for code in range(3))).statistic
    assert between_values(codes, values) ** 2 == pytest.approx(2 * (f - 1) / (2 * f + 27))


def test_groups_that_mean_nothing_have_no_strength_however_many_there_are() -> None:
    found = [between_values(np.arange(60) % 20, RANDOM.random(60)) ** 2 for _ in range(400)]
    plain = 19 / 59  # what the uncorrected share of variance would be on average
    assert np.mean(found) < 0.25 * plain


def test_strength_of_values_that_each_run_has_alone_cannot_be_told() -> None:
    assert np.isnan(between_values(np.arange(5), RANDOM.random(5)))


def test_band_over_repeated_values_is_their_quantiles() -> None:
    x, y = np.repeat([1.0, 3.0], 20), RANDOM.random(40)
    places, band = numeric_band(x, y) or pytest.fail("no band")
    assert list(places) == [1.0, 3.0]
    np.testing.assert_allclose(band[1], np.quantile(y[20:], [0.05, 0.5, 0.95]))


def test_band_over_sampled_values_is_that_of_neighbours() -> None:
    x = RANDOM.permutation(100) / 100
    places, band = numeric_band(x, 2 * x) or pytest.fail("no band")
    assert places.size == 10
    np.testing.assert_allclose(band[:, 1], 2 * places)
    assert numeric_band(x[: SMOOTH - 1], x[: SMOOTH - 1]) is None, "too few runs for a band"


# ---------------------------------------------------------------------------------- made-up batches


def plan_of(folder: Path, **batch: Any) -> Plan:
    """A plan over a scenario of three followers."""
    federates = [{"name": f"f{k}", "model": {"kind": str(MODELS / "follower.py")}} for k in range(3)]
    scenario = {"name": "base", "horizon": {"start": "2014-01-16 00:00", "duration": "24 h"}, "federates": federates}
    (folder / "base.yaml").write_text(json.dumps(scenario))
    figures = {"peak": {"of": "f0.y", "title": f"highest load {EVIL}"}, "voltage": {"of": "f1.y", "reduce": "min"}}
    paths = {"share": "federates[f0].model.gain", "mode": "communications.profile"}
    mapping = {"name": "b", "scenario": "base.yaml", "figures": figures, "parameters": paths, **batch}
    used = {name for block in mapping["vary"] for name in (block.get("grid") or block.get("zip") or ())}
    mapping["parameters"] = {name: path for name, path in paths.items() if name in used}
    return make_plan(batch_from_mapping(mapping, folder))


def peak_of(parameters: Mapping[str, Any]) -> float:
    """What the made-up runs answer: it rises with the share, and with nothing else but a little with the seed."""
    return 10.0 * float(parameters["share"]) + 0.01 * (parameters.get("seed", 0) - 2014)


def make(plan: Plan, folder: Path, outcomes: Mapping[str, str], *, stored: bool = False) -> Path:
    """A batch's folder; runs are good but for `outcomes`."""
    for variant in plan.variants:
        where = run_folder(folder, variant.run)
        where.mkdir(parents=True)
        outcome = outcomes.get(variant.run, "good") if variant.valid else "invalid"
        row: dict[str, Any] = {"run": variant.run, "number": variant.number, "group": variant.group}
        row |= {"key": variant.key, "parameters": variant.parameters, "outcome": outcome, "wall_s": 2.0}
        if outcome in ("good", "untrusted"):
            row["figures"] = {"peak": peak_of(variant.parameters), "voltage": 0.95 + 0.001 * variant.number}
            row["simulated_s"] = 86400.0
            row["to_look_at"] = 2 if variant.number == 4 else 0
            if stored:
                series(variant).write(where, series(variant, 1.0))
        else:
            (where / "run.log").write_text("what happened")
            row |= {
                "error": variant.error or f"'f0' failed at 14:05: {EVIL}.\nmore of it",
                "log": f"runs/{variant.run}/run.log",
            }
        finish_run(where, Row.model_validate(row).model_dump_json())
    write_batch(folder, {"started": True})
    collect(folder, plan)
    return folder


def series(variant: Variant, factor: float = 2.0) -> Written:
    """A feeder that draws `factor` MW times its share on each of two phases; of the twin the factor is 1."""
    power = np.full((STEPS, 2), factor * float(variant.parameters["share"])) + 0.1j
    port = out("power", "MVA", "power drawn", is_complex=True, phase=("A", "B"))
    return Written({"oak": [(port, power)]}, duration=STEPS * 10 * MINUTE)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 runs of two groups: a third has a profile that does not exist, one failed, one timed out, one is untrusted."""
    folder = tmp_path_factory.mktemp("mixed")
    vary = [
        {"grid": {"share": [0.2, 0.4, 0.6], "mode": ["fibre", "rf_mesh", "none such"]}},
        {"seeds": {"count": 2, "first": 2014}},
    ]
    gain = "federates[f2].model.gain"
    groups = [{"name": "urban", "set": {gain: 0.3}}, {"name": "rural", "set": {gain: 0.4}}]
    plan = plan_of(folder, vary=vary, groups=groups, description=EVIL)
    return make(plan, folder / "batch", {"0001": "failed", "0002": "timeout", "0003": "untrusted"}, stored=True)


@pytest.fixture(scope="module")
def page(mixed: Path) -> Page:
    return Page(write_batch_report(cosim.open_batch(mixed)))


def links(page: Page) -> list[str]:
    return [str(attributes["href"]) for tag, attributes in page.tags if tag == "a"]


def test_everything_is_in_the_file_and_nothing_of_a_user_is_markup(page: Page) -> None:
    assert not [attributes for tag, attributes in page.tags if "src" in attributes or tag == "img"]
    assert not [link for link in links(page) if "://" in link]
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert EVIL in page.text


def test_every_link_leads_somewhere(mixed: Path, tmp_path: Path) -> None:
    for target in (mixed / "report.html", tmp_path / "elsewhere.html"):
        path = write_batch_report(cosim.open_batch(mixed), target)
        found = [link for link in links(Page(path)) if not link.startswith("#")]
        assert len(found) > 20
        for link in found:
            assert (path.parent / link).exists(), link


def test_failures_are_told_with_cause_log_and_the_command_that_runs_them_again(page: Page, mixed: Path) -> None:
    assert "15 OF 36 RUNS NOT GOOD" in page.text
    assert "12 invalid" in page.text
    assert "all 12 runs with mode = none such failed" in page.text
    assert "there is no communications profile 'none such'" in page.text
    assert "'f0' failed at 14:05" in page.text
    assert f"cosim batch FILE --rerun-failed --out {mixed}" in page.text
    assert "runs/0001/run.log" in links(page)


def test_only_good_runs_count(page: Page) -> None:
    """21 good runs: the highest are those of share 0.6 and the later seed, 6.01 MW by the formula above."""
    assert "6.01 MW in" in page.text
    shown = [trace for trace in page.figure("peak")["data"] if trace.get("text")]
    crosses = [trace for trace in shown if trace["marker"].get("symbol") == "x-thin-open"]
    assert {run for trace in crosses for run in trace["text"]} == {"0003"}
    counted = {run for trace in shown if trace not in crosses for run in trace["text"]}
    assert len(counted) == 21


def test_runs_with_physics_to_look_at_are_counted(page: Page, mixed: Path) -> None:
    assert "In 1 of 36 runs there is physics to look at" in page.text
    assert cosim.open_batch(mixed).table.set_index("run")["to_look_at"]["0004"] == 2


def test_what_matters_most_is_found_and_told(page: Page) -> None:
    figure = page.figure("What goes with what")["data"][0]
    row = dict(zip(figure["x"], figure["text"][figure["y"].index("peak")], strict=True))
    assert set(row) == {"group", "share", "mode", "seed"}
    assert float(row["share"].removeprefix("ρ ")) > 0.9
    assert row["group"] == row["mode"] == "ε 0.00"
    assert "peak goes most with share" in page.text
    first = page.figure("peak")["layout"]["xaxis"]["title"]["text"]
    assert first.startswith("share"), "the strongest parameter comes first"


def test_maps_show_every_combination(tmp_path: Path) -> None:
    """Share up and mode across, the mean over the seeds in each cell; none where a combination has no run."""
    grid = {"share": [0.2, 0.4], "mode": ["fibre", "rf_mesh"]}
    plan = plan_of(tmp_path, vary=[{"grid": grid}, {"seeds": {"count": 3}}])
    folder = make(plan, tmp_path / "full", {"0002": "failed"})
    charts = list(maps(Outcome(cosim.open_batch(folder))))
    assert [chart.title for chart in charts] == ["Map of peak", "Map of voltage"]
    (cells,) = charts[0].figure()["data"]
    assert (list(cells["y"]), list(cells["x"])) == (["0.2", "0.4"], ["fibre", "rf_mesh"])
    rows = [(variant.parameters, variant.run) for variant in plan.variants if variant.run != "0002"]
    for y, share in enumerate(grid["share"]):
        for x, mode in enumerate(grid["mode"]):
            own = [peak_of(given) for given, _ in rows if (given["share"], given["mode"]) == (share, mode)]
            assert cells["z"][y][x] == pytest.approx(np.mean(own), rel=1e-12)
    zipped = plan_of(tmp_path, vary=[{"zip": grid}])
    assert list(maps(Outcome(cosim.open_batch(make(zipped, tmp_path / "part", {}))))) == []


def test_bands_over_time_are_those_of_the_runs(page: Page, mixed: Path) -> None:
    """Two phases of 2 and of 1 times the share: the run draws twice the share more than its twin."""
    both = page.figure("oak.power over all runs")
    table = cosim.open_batch(mixed).table
    shares = table["param.share"][table["outcome"] == "good"]
    low, high, middle = (decoded(trace["y"])[0] for trace in both["data"][3:])
    assert (low, middle, high) == pytest.approx(tuple(4 * np.quantile(shares, [0.05, 0.5, 0.95])), rel=1e-6)
    change = page.figure("oak.power: disturbed less undisturbed")
    medians = {trace["name"]: decoded(trace["y"])[-1] for trace in change["data"] if trace["line"]["width"]}
    assert medians == pytest.approx({"0.2": 0.4, "0.4": 0.8, "0.6": 1.2}, rel=1e-6)


def decoded(values: Any) -> Any:
    """Numbers as Plotly writes them."""
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]) if isinstance(values, dict) else values


def test_reports_of_the_runs_at_the_ends_are_written_and_linked(page: Page, mixed: Path) -> None:
    reports = {link for link in links(page) if link.endswith("/report.html")}
    assert reports
    best = cosim.open_batch(mixed).table.query("outcome == 'good'").sort_values("figure.peak", kind="stable")
    assert f"runs/{best['run'].iloc[0]}/report.html" in reports
    assert cosim.open_batch(mixed, verify=True).problems() == [], "a report is no damage"


def test_all_failed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, vary=[{"grid": {"share": [0.1, 0.2]}}])
    page = Page(write_batch_report(cosim.open_batch(make(plan, tmp_path / "b", {"0001": "lost", "0002": "lost"}))))
    assert "2 OF 2 RUNS NOT GOOD" in page.text
    assert not [attributes for _, attributes in page.tags if attributes.get("aria-label") == "peak"]


def test_one_run(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, vary=[{"grid": {"share": [0.1]}}])
    page = Page(write_batch_report(cosim.open_batch(make(plan, tmp_path / "b", {}))))
    assert "ALL RUNS GOOD" in page.text
    assert "1 MW in 0001" in " ".join(page.text.split())
    assert "share is 0.1 in all finished runs" in page.text


def test_batch_that_is_not_complete_says_so(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, vary=[{"grid": {"share": [0.1, 0.2]}}])
    folder = make(plan, tmp_path / "b", {})
    for path in sorted(run_folder(folder, "0002").iterdir()):
        path.unlink()
    run_folder(folder, "0002").rmdir()
    collect(folder, plan)
    assert "1 OF 2 RUNS FINISHED" in Page(write_batch_report(cosim.open_batch(folder))).text


@pytest.mark.parametrize("how", ["zip", "grid"])
def test_parameters_that_change_together_are_named(how: str, tmp_path: Path) -> None:
    other = "federates[f1].model.gain"
    plan = plan_of(tmp_path, vary=[{how: {"share": [0.1, 0.2, 0.3], other: [3, 2, 1]}}])
    text = Page(write_batch_report(cosim.open_batch(make(plan, tmp_path / "b", {})))).text
    assert (f"share and {other} change together" in text) == (how == "zip")


# ------------------------------------------------------------------------------------- the tutorial


def small_tutorial(folder: Path) -> Path:
    """The tutorial's batch with two feeders of 6 homes and one population."""
    path = ROOT / "runs" / "batches" / "heat_rebound.yaml"
    batch = yaml.safe_load(path.read_text())
    batch["scenario"] = str((path.parent / batch["scenario"]).resolve())
    batch["groups"] = [group for group in batch["groups"] if group["name"] in ("ash", "fir")]
    batch["vary"] = [{"seeds": {"count": 1}}]
    batch["set"] = {"feeders[feeder].model.homes.count": 6, "horizon.duration": "105 min"}
    small = folder / "small.yaml"
    small.write_text(yaml.safe_dump(batch))
    return small


@pytest.mark.long  # the page itself too; the parts of both are tested singly
@pytest.mark.timeout(300)
def test_tutorial_in_small(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    command = [sys.executable, "-m", "runs.cli", "batch", str(small_tutorial(tmp_path)), "--out", str(folder)]
    done = ended([*command, "--workers", "1"])
    assert "2 good" in done
    assert f"Report: {folder / 'report.html'}" in done
    assert "ALL RUNS GOOD" in Page(folder / "report.html").text

    printed = ended([sys.executable, str(ROOT / "docs" / "examples" / "heat_rebound.py"), str(folder)])
    assert (folder / "heat_rebound.html").stat().st_size > 1e6
    medians = dict(re.findall(r"^(\w+) +1  \S+  (\S+)  \S+$", printed, re.MULTILINE))
    assert set(medians) == {"ash", "fir"}
    for group, median in medians.items():
        assert float(median) == pytest.approx(by_hand(folder, group), abs=0.0051)

    (folder / "report.html").unlink()
    assert "Report" not in in_process([*command[3:], "--resume", "--no-report"])
    assert not (folder / "report.html").exists()
    in_process(["report", str(folder)])
    assert (folder / "report.html").exists()


def by_hand(folder: Path, group: str) -> float:
    """What returns at once in the run of a group [kW per home], from its own store; the scenario starts at 10:30."""
    table = cosim.open_batch(folder).table.set_index("group")
    opened = cosim.open(folder / "runs" / table["run"][group])
    power, twin = (np.asarray(one.results["feeder"]["power"]).real.sum(axis=1) for one in (opened, opened.baseline))
    change = (power - twin) * 1000 / 6
    return float(change[90:100].mean() - change[80:90].mean())


def in_process(arguments: list[str]) -> str:
    """What the command line prints, without a process of its own."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def ended(command: list[str]) -> str:
    """What a command prints that ends well."""
    environment = os.environ | {"COLUMNS": "400"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
