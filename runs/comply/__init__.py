"""The judge of IEEE 1547: what the standard requires of what was measured or simulated.

judged = comply("trace.csv", read_fleet("III"))
judged.judgement.result, judged.judgement.der[0].findings
requirements("wave.csv", read_fleet("II"))[0].shall_trip_by_s

trace.py, reading/      traces, and the faults that make them unfit for a verdict
settings.py             what a DER is held to
path.py, requirement.py what voltage and frequency demand
operation.py            what the DER did
clauses/, judge.py      the verdict, clause by clause
judgement.py            all DER of a source; the fleet
summary.py, report.py   what a reader sees
command.py              `cosim comply`
"""

from __future__ import annotations

from runs.comply.judgement import Judged, Judgement, comply, requirements
from runs.comply.requirement import Requirement
from runs.comply.settings import Fleet, Held, read_fleet
from runs.comply.verdict import Finding, Verdict

__all__ = [
    "Finding",
    "Fleet",
    "Held",
    "Judged",
    "Judgement",
    "Requirement",
    "Verdict",
    "comply",
    "read_fleet",
    "requirements",
]
