"""The key figures at the head of the report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runs.report.chart import View
from runs.summary import Cost, Load, Voltage, in_window_only, power_text, seconds, total_of, trip_text
from runs.window_results import WindowSummary

EACH = 2  #: so many feeders and grids get cards of their own


@dataclass(frozen=True)
class Card:
    """One figure to be read at a glance."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    alarm: bool = False


def cards(view: View) -> Iterator[Card]:
    """What matters most, of what there is."""
    summary = view.summary
    if summary.window is not None:
        yield from _window(summary.window)
    grids = {variable.group for variable in view.run.loads}
    for loads in (
        [x for x in summary.loads if x.federate not in grids and not in_window_only(x.federate)],
        [x for x in summary.loads if x.federate in grids and not in_window_only(x.federate)],
    ):
        chosen = sorted(loads, key=lambda load: load.order)[:EACH]
        yield from (_peak(view, load) for load in chosen)
        yield from (_shed(view, load) for load in chosen if load.was_hit)
    for voltage in sorted(summary.voltages, key=lambda voltage: -abs(voltage.worst.value - 1.0))[: 2 * EACH]:
        yield _voltage(view, voltage)
    for cost in summary.costs[:EACH]:
        yield _cost(view, cost)
    if summary.not_served:
        total = sum(entry.energy_mwh for entry in summary.not_served)
        before = total_of(entry.baseline_energy_mwh for entry in summary.not_served)
        note = "" if before is None else f"{view.names[0]} {before:,.3g} MWh"
        yield Card("Energy not served", f"{total:,.3g}", "MWh", note, alarm=total > 0)
    for messages in summary.messages:
        if messages.sent:
            latency = "" if messages.mean_latency_s is None else f"{seconds(messages.mean_latency_s)} on average"
            yield Card("Messages delivered", f"{messages.delivered:,}", "", f"{messages.dropped:,} dropped; {latency}")
    if summary.mismatches:
        worst = max(summary.mismatches, key=lambda mismatch: mismatch.share)
        note = f"of {worst.tolerance:g} {worst.unit}, at {view.clock(worst.worst.time)}"
        yield Card("Worst boundary mismatch", f"{worst.worst.value:.3g}", worst.unit, note, alarm=worst.share > 1)
    speed = summary.speed
    if speed.ratio is not None:
        slowest = "" if speed.slowest is None else f"; slowest: {speed.slowest} ({speed.slowest_share:.0%})"
        note = f"{speed.simulated_s / 3600:,.4g} h in {speed.wall_s:,.3g} s{slowest}"
        yield Card("Speed", f"{speed.ratio:,.0f}", "× real time", note)


def _window(window: WindowSummary) -> Iterator[Card]:
    """Nadir, power of DER, who tripped, and when the voltage was back; times count from the opening."""
    frequency = window.frequency
    if frequency is not None:
        note = f"{frequency.lowest_s:.3g} s after the opening; highest {frequency.highest_hz:.3f} Hz"
        yield Card("Frequency nadir", f"{frequency.lowest_hz:.3f}", "Hz", note)
    for feeder in window.feeders[:EACH]:
        if feeder.der:
            value, unit = _split(power_text(feeder.der_lost_mw))
            note = f"at a time; {power_text(feeder.tripped_mw)} of DER that tripped"
            yield Card(f"DER power lost, {feeder.feeder}", value, unit, note)
            tripped = sum(feeder.tripped.values())
            why = ", ".join(f"{count} {element}" for element, count in feeder.tripped.items())
            note = f"of {feeder.der:,}" + (f"; {why}" if why else "")
            yield Card(f"DER tripped, {feeder.feeder}", f"{tripped:,}", "", note)
        back = "not" if feeder.recovered_s is None else f"{feeder.recovered_s:.3g}"
        note = f"after the opening every node had 0.9 pu again; lowest {feeder.lowest_pu:.3f} pu"
        if feeder.recovered_s is None:
            note = f"every node had 0.9 pu again before the close; lowest {feeder.lowest_pu:.3f} pu"
        unit = "" if feeder.recovered_s is None else "s"
        yield Card(f"Voltage back, {feeder.feeder}", back, unit, note, alarm=feeder.recovered_s is None)


def _peak(view: View, load: Load) -> Card:
    value, unit = _split(power_text(load.peak_mw.value))
    note = f"at {view.clock(load.peak_mw.time)}"
    if load.baseline_peak_mw is not None:
        note += f"; {view.names[0]} {power_text(load.baseline_peak_mw.value)}"
    return Card(f"Peak {load.title}", value, unit, note)


def _shed(view: View, load: Load) -> Card:
    head, _, note = trip_text(load, view.clock).partition(", ")
    value, unit, *_ = head.split(" ")
    return Card(
        f"Energy {'shed' if (load.shed_mwh or 0.0) > 0.0 else 'drawn on top'}, {load.federate}", value, unit, note
    )


def _voltage(view: View, voltage: Voltage) -> Card:
    worst = voltage.worst
    below = worst == voltage.lowest_pu
    before = voltage.baseline_lowest_pu if below else voltage.baseline_highest_pu
    note = f"at {worst.where}, {view.clock(worst.time)}"
    if before is not None:
        note += f"; {view.names[0]} {before.value:.3f} pu"
    label = f"{'Lowest' if below else 'Highest'} voltage, {voltage.federate}"
    alarm = voltage.limits is not None and not voltage.limits[0] <= worst.value <= voltage.limits[1]
    return Card(label, f"{worst.value:.3f}", "pu", note, alarm=alarm)


def _cost(view: View, cost: Cost) -> Card:
    note = ""
    if cost.baseline_cost is not None:
        note = f"{cost.cost - cost.baseline_cost:+,.0f} $ against {view.names[0]}"
    return Card(f"Cost of {cost.federate}", f"{cost.cost:,.0f}", "$", note)


def _split(text: str) -> tuple[str, str]:
    value, unit = text.split(" ")
    return value, unit
