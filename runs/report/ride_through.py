"""Every DER of an event window against IEEE 1547, clause by clause, with the least margins: the judge's findings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cosim.errors import CosimError
from runs.report.chart import View
from runs.window_results import opened

JUDGED = 3000  #: DER at most that a report judges; the judge takes some 15 ms of computing for each
NAMED = 12  #: DER at most that are named singly

#: Results of which each DER is named with its reason.
POOR = ("fail", "indeterminate")
#: Results that have a column even where no DER has them.
ALWAYS = (*POOR, "pass")


@dataclass(frozen=True)
class Table:
    """Rows of text under a heading; `numbers` are the columns that are set to the right."""

    title: str
    note: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    numbers: tuple[int, ...] = ()


def verdicts(view: View) -> Iterator[Table]:
    """For each feeder of the window what the judge found, and the DER that failed or that it could not decide on."""
    window = opened(view.run)
    if window is None:
        return
    for feeder, federate in window.feeders.items():
        tripped_by = view.run.get(federate, "tripped_by")
        if tripped_by is None:
            continue
        command = f"cosim comply {view.run.run.folder.name} --group {federate} --report FILE"
        title = f"IEEE 1547: what the judge finds on each DER of {feeder}"
        count = tripped_by.array.shape[1]
        if count > JUDGED:
            yield Table(title, f"{count:,} DER take the judge minutes. To judge them: {command}")
            continue
        yield from _judged(view, federate, title, command)


def _judged(view: View, federate: str, title: str, command: str) -> Iterator[Table]:
    from runs.comply.judgement import comply
    from runs.comply.own_settings import own_settings
    from runs.comply.settings import read_fleet
    from runs.comply.summary import margin
    from runs.comply.verdict import EXERCISED, ORDER

    folder = view.run.run.folder
    try:
        fleet = read_fleet(None, None, der=own_settings(folder, federate))
        # in this process: others would run the script anew that writes the report
        judgement = comply(folder, fleet, group=federate, pictured=1, workers=1).judgement
    except CosimError as error:
        yield Table(title, f"Not judged: {str(error).splitlines()[0]} To see why: {command}")
        return
    titles = {finding.clause: finding.title for verdict in judgement.der for finding in verdict.findings}
    told = {clause: counts for clause, counts in judgement.clauses.items() if set(counts) & EXERCISED}
    results = [name for name in ORDER if name in ALWAYS or any(name in counts for counts in told.values())]
    rows = []
    for clause, counts in told.items():
        smallest = judgement.least.get(clause)
        rows.append(
            (
                clause,
                titles.get(clause, ""),
                *(f"{counts[name]:,}" if name in counts else "" for name in results),
                "" if smallest is None else margin(smallest).replace("\n", ", "),
                "" if smallest is None else smallest.der,
            )
        )
    found = ", ".join(f"{number:,} {name}" for name, number in judgement.counts.items())
    held = "Each is held to the settings that it has; a margin is to the nearest boundary."
    yield Table(
        title,
        f"{len(judgement.der):,} DER: {found}. {held} Every DER, clause and margin: {command}",
        ("clause", "what it asks", *results, "least margin", "of DER"),
        tuple(rows),
        tuple(range(2, 3 + len(results))),
    )
    poor = [(verdict.der, finding) for verdict in judgement.der for finding in verdict.findings]
    poor = [(der, finding) for der, finding in poor if finding.result in POOR]
    if poor:
        poor.sort(key=lambda entry: ORDER.index(entry[1].result))
        named = tuple(
            (der, finding.clause, finding.result, f"{finding.fault}: " * bool(finding.fault) + finding.explanation)
            for der, finding in poor[:NAMED]
        )
        more = "" if len(poor) <= NAMED else f"The first {NAMED} of {len(poor):,} findings."
        yield Table("Failed, or not to be decided", more, ("DER", "clause", "result", "what was seen"), named)
