"""The report: complete, self-contained, safe against what users write, small, and there for failed runs too."""

from __future__ import annotations

import base64
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written_runs import MINUTE, Written, constant, out

import cosim
from cosim.engine.warm import WarmLauncher
from cosim.errors import MachineError
from cosim.simulation import Run
from runs.report import write_comparison_report, write_report
from runs.report.series import BUCKETS, POINTS, coordinates, thin, thin_band

MODELS = Path(__file__).parent / "models"
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
WORST_SIZE = 6e6  #: [B]


class Page(HTMLParser):
    """What of a page matters to the tests."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.size = path.stat().st_size
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        (self.scripts if self.tags and self.tags[-1][0] == "script" else self.texts).append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    @property
    def figures(self) -> list[dict[str, Any]]:
        """Data and layout of each figure, with its heading."""
        source = next(text for text in self.scripts if text.startswith('{"template"'))
        found: list[dict[str, Any]] = json.loads(source)["figures"]
        titles = [dict(attrs)["aria-label"] for tag, attrs in self.tags if "data-figure" in attrs]
        return [figure | {"title": title} for figure, title in zip(found, titles, strict=True)]

    def figure(self, title: str) -> dict[str, Any]:
        return next(figure for figure in self.figures if str(figure["title"]).startswith(title))


@pytest.fixture(scope="module")
def hot_day(tmp_path_factory: pytest.TempPathFactory, zygote: WarmLauncher) -> Run:
    """Homes, tripped by the heat, on a grid with dispatch and communications; run by the engine."""
    scenario = {
        "name": "hot_day",
        "description": "A test of <b>everything</b> & more.",
        "horizon": {"start": "2014-01-16 00:00", "duration": "24 h", "step": "5 min"},
        "weather": {"table": "melbourne_2014_01"},
        "demand": {"table": "victoria_2014_01", "lookahead": "1 h"},
        "transmission": {"case": "case39"},
        "dispatch": {"lookahead": "1 h"},
        "feeders": [
            {"name": "suburb", "bus": "15", "multiplier": 50, "model": {"kind": str(MODELS / "homes.py"), "ev": 0.5}}
        ],
        "federates": [{"name": "own", "model": {"kind": str(MODELS / "follower.py"), "interval": "5 min"}}],
        "perturbations": [
            {
                "kind": "LoadTripWeather",
                "name": "heat",
                "condition": {"temperature_at_least": "42 degC", "held_for": "30 min"},
                "devices": ["thermostat"],
                "share": 0.6,
                "lasting": "2 h",
            }
        ],
        "coupling": {"power_tolerance": 50},
    }
    folder = tmp_path_factory.mktemp("run") / "hot_day"
    run = cosim.run(cosim.scenario.from_mapping(scenario), folder, launcher=zygote)
    assert run.trustworthy, run.verdict
    return run


@pytest.fixture(scope="module")
def hot_page(hot_day: Run) -> Page:
    return Page(write_report(hot_day))


def written(folder: Path, name: str = "suburb", count: int = 144, **more: Any) -> Run:
    """A feeder, its twin, and a perturbation called EVIL."""
    trip = {"kind": "LoadTripWeather", "name": EVIL, "devices": ["thermostat"], "condition": {}}
    power = np.full((count, 3), 1.0 + 0j)
    outputs = {
        name: [(out("power", "MVA", f"title {EVIL}", is_complex=True, phase=("A", "B", "C")), power)],
        "perturbations": [
            (out("active", "1", perturbation=(EVIL,)), np.ones((count, 1))),
            (out("affected", "1", perturbation=(EVIL,)), np.ones((count, 1))),
        ],
        "dispatch": [(out("setpoint", "MW", generator=(EVIL, "2")), np.ones((count, 2)))],
    }
    return Written(outputs, perturbations=[trip], **more).write(folder, Written({name: outputs[name]}))


class TestFigures:
    TITLES = (
        "Load of suburb",
        "Air temperature",
        "Indoor temperature of 20 homes",
        "Thermostats",
        "EV chargers",
        "Voltage along suburb",
        "Nodes of suburb",
        "Total load of transmission",
        "Bus voltages",
        "Locational marginal prices",
        "Dispatch: who generates",
        "own: what follows",
        "Message latency",
        "Messages delivered",
        "Boundary mismatch",
        "Where the time goes",
    )

    @pytest.mark.parametrize("title", TITLES)
    def test_there_is_a_figure_with_something_in_it(self, hot_page: Page, title: str) -> None:
        figure = hot_page.figure(title)
        assert any(_points(trace) > 1 for trace in figure["data"])

    def test_units_stand_on_every_axis(self, hot_page: Page) -> None:
        for figure in hot_page.figures:
            if figure["title"] == "Where the time goes":
                assert "[s]" in figure["layout"]["xaxis"]["title"]["text"]
                continue
            assert re.search(r"\[.+\]", figure["layout"]["yaxis"]["title"]["text"]), figure["title"]
            assert figure["layout"]["xaxis"]["title"]["text"], figure["title"]

    def test_the_twin_is_grey_and_the_run_is_not(self, hot_page: Page) -> None:
        colours = {trace["name"]: trace["line"]["color"] for trace in hot_page.figure("Load of suburb")["data"]}
        assert set(colours) == {"undisturbed", "disturbed"}
        assert colours["undisturbed"] == "#7f868f"
        assert colours["disturbed"] != colours["undisturbed"]

    def test_the_trip_is_shaded_for_as_long_as_it_lasted(self, hot_page: Page) -> None:
        (shape,) = (s for s in hot_page.figure("Load of suburb")["layout"]["shapes"] if s["type"] == "rect")
        assert (shape["x1"] - shape["x0"]) / 3.6e6 == pytest.approx(2.0)

    def test_message_latency_is_each_links_share(self, hot_page: Page) -> None:
        for trace in hot_page.figure("Message latency")["data"]:
            assert _values(trace["y"]).sum() == pytest.approx(100.0)

    def test_the_threshold_is_drawn(self, hot_page: Page) -> None:
        lines = [s for s in hot_page.figure("Air temperature")["layout"]["shapes"] if s["type"] == "line"]
        assert [line["y0"] for line in lines] == [42.0]

    def test_range_a_is_drawn_along_feeders_only(self, hot_page: Page) -> None:
        assert [s["y0"] for s in hot_page.figure("Voltage along")["layout"]["shapes"] if s["type"] == "line"] == [
            0.95,
            1.05,
        ]
        assert [s for s in hot_page.figure("Bus voltages")["layout"]["shapes"] if s["type"] == "line"] == []

    def test_verdict_cards_and_manifest_are_there(self, hot_day: Run, hot_page: Page) -> None:
        assert "✔ TRUSTWORTHY" in hot_page.text
        for check in hot_day.verdict.checks:
            assert check.name in hot_page.text
        for word in ("Energy shed, suburb", "Cost of dispatch", "Speed", hot_day.manifest["digest"], "LoadTripWeather"):
            assert word in hot_page.text


class TestOneFile:
    def test_nothing_is_loaded_from_elsewhere(self, hot_page: Page) -> None:
        for tag, attributes in hot_page.tags:
            for name in ("src", "srcset", "data", "action", "poster"):
                assert name not in attributes, (tag, attributes)
            if tag == "link":
                assert attributes["href"] == "data:,"

    def test_no_markup_loads_anything_by_css(self) -> None:
        css = (Path(write_report.__code__.co_filename).parent / "page.css").read_text()
        assert "@import" not in css
        assert "url(" not in css

    def test_it_is_small(self, hot_page: Page) -> None:
        assert hot_page.size < WORST_SIZE

    def test_it_is_written_quickly(self, hot_day: Run, tmp_path: Path) -> None:
        began = time.process_time()  # the machine may be busy with other things
        write_report(hot_day, tmp_path / "report.html")
        assert time.process_time() - began < 3.0

    def test_a_week_in_half_minutes_stays_small(self, tmp_path: Path) -> None:
        count, width = 20_160, 4
        x = np.random.default_rng(1).normal(size=(count, width))
        feeders = {
            f"f{n}": [(out("power", "MVA", is_complex=True, phase=("A", "B", "C", "N")), x + 0j)] for n in range(3)
        }
        run = Written(feeders, step=MINUTE // 2, duration=7 * 24 * 60 * MINUTE).write(tmp_path / "r")
        assert write_report(run).stat().st_size < WORST_SIZE

    def test_a_place_that_cannot_be_written_is_said(self, hot_day: Run, tmp_path: Path) -> None:
        with pytest.raises(MachineError, match="choose another place"):
            write_report(hot_day, tmp_path / "nowhere" / "report.html")


class TestWhatUsersWrite:
    def test_no_text_becomes_an_element(self, tmp_path: Path) -> None:
        page = Page(write_report(written(tmp_path / "r", fault=f"fault {EVIL}", scenario={"description": EVIL})))
        assert "img" not in [tag for tag, _ in page.tags]
        assert [tag for tag, _ in page.tags].count("script") == 3
        assert f"fault {EVIL}" in page.text  # shown as it was written
        assert EVIL in page.text

    def test_plotly_sees_no_markup_either(self, tmp_path: Path) -> None:
        page = Page(write_report(written(tmp_path / "r")))
        assert EVIL not in json.dumps(page.figures, ensure_ascii=False).replace('\\"', '"')
        names = [trace["name"] for trace in page.figure("Dispatch: who generates")["data"]]
        assert any("&lt;script&gt;" in name for name in names)

    def test_description_is_text(self, hot_page: Page) -> None:
        assert "A test of <b>everything</b> & more." in hot_page.text


class TestFailedRuns:
    def test_a_run_that_ended_early_is_drawn_as_far_as_it_got(self, tmp_path: Path) -> None:
        page = Page(write_report(written(tmp_path / "r", count=30, fault="'suburb' died at 5 h")))
        assert "✘ NOT TRUSTWORTHY" in page.text
        assert "'suburb' died at 5 h" in page.text
        first, last = page.figure("Load of suburb")["layout"]["xaxis"]["range"]
        assert (last - first) / 3.6e6 == pytest.approx(5.0)

    def test_a_run_that_recorded_nothing_has_a_report(self, tmp_path: Path) -> None:
        page = Page(write_report(Written({}, fault="'suburb' never started").write(tmp_path / "r")))
        assert "'suburb' never started" in page.text

    def test_without_a_twin_nothing_is_called_disturbed(self, tmp_path: Path) -> None:
        power = [(out("power", "MVA", is_complex=True, phase=("A",)), np.ones((144, 1), complex))]
        page = Page(write_report(Written({"suburb": power}).write(tmp_path / "r")))
        assert "disturbed" not in page.text
        assert len(page.figure("Load of suburb")["data"]) == 1


def test_two_runs_in_one_report(tmp_path: Path) -> None:
    def power(value: float) -> Written:
        port = out("power", "MVA", is_complex=True, phase=("A",))
        return Written({"suburb": [(port, constant(value + 0j)[:, None])]})

    runs = [power(value).write(tmp_path / name) for name, value in (("a", 1.0), ("b", 2.0))]
    page = Page(write_comparison_report(*runs, tmp_path / "both.html"))
    assert "b against a" in page.text
    assert {trace["name"] for trace in page.figure("Load of suburb")["data"]} == {"first (a)", "second (b)"}


class TestThinning:
    def test_short_series_stay_as_they_are(self) -> None:
        times, values = np.arange(POINTS), np.random.default_rng(1).normal(size=POINTS)
        assert thin(times, values) == (times, values)

    def test_long_ones_keep_their_extremes_where_they_were(self) -> None:
        times, values = np.arange(100_000) * MINUTE, np.random.default_rng(1).normal(size=100_000)
        values[[77_777, 12_345]] = 50.0, -50.0
        kept_times, kept = thin(times, values)
        assert kept.size <= 2 * BUCKETS + 2
        assert kept_times[kept.argmax()] == 77_777 * MINUTE
        assert kept_times[kept.argmin()] == 12_345 * MINUTE
        assert (kept_times[0], kept_times[-1]) == (times[0], times[-1])

    def test_minutes_beside_milliseconds_keep_their_times(self) -> None:
        """Sixty minutes, with 4,000 steps of 5 ms within one of them: each of the others is still told apart."""
        window = 30 * MINUTE + np.arange(4000) * 5_000_000
        times = np.union1d(np.arange(60) * MINUTE, window)
        kept, values = thin(times, (times > 35 * MINUTE).astype(float))
        assert kept.size <= POINTS
        for minute in (34, 35, 36, 59):
            assert minute * MINUTE in kept
        assert values[kept == 36 * MINUTE] == 1.0
        assert values[kept == 35 * MINUTE] == 0.0
        assert ((kept >= window[0]) & (kept <= window[-1])).sum() > 200

    def test_bands_keep_theirs(self) -> None:
        times = np.arange(100_000) * MINUTE
        low, high = -np.ones(100_000), np.ones(100_000)
        low[500], high[99_999] = -9.0, 9.0
        kept, thin_low, middle, thin_high = thin_band(times, low, 0 * low, high)
        assert kept.size == BUCKETS
        assert (thin_low.min(), thin_high.max(), np.abs(middle).max()) == (-9.0, 9.0, 0.0)

    def test_regular_times_need_no_list(self) -> None:
        assert coordinates(np.arange(10) * MINUTE, 1e3) == {"x0": 1e3, "dx": 60e3}
        assert coordinates(np.array([0, 1, 3]) * MINUTE, 0.0)["x"].tolist() == [0.0, 60e3, 180e3]


def _points(trace: dict[str, Any]) -> int:
    return int(_values(trace["x"] if trace.get("orientation") == "h" else trace["y"]).size)


def _values(values: Any) -> np.ndarray[Any, Any]:
    """The values of a trace, which Plotly holds as a list or as packed bytes."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"])
    return np.array(values)
