"""Every other clause of the standard, and why a trace of voltage, frequency and power cannot show it."""

from __future__ import annotations

from runs.comply.verdict import Finding

_WHY: tuple[tuple[str, str, str], ...] = (
    ("4.2", "Reference points of applicability", "a matter of where the trace was taken; state it with the trace"),
    ("4.4", "Measurement accuracy", "used as the tolerance of every verdict; meters themselves are tested"),
    ("4.7", "Prioritisation of responses", "shows only where functions contradict each other; the bench does that"),
    ("4.8", "Isolation device", "a device to look at, not a response"),
    ("4.9", "Inadvertent energization of the area EPS", "needs a de-energized area EPS, by test or design review"),
    ("4.11", "Interconnect integrity", "immunity and dielectric tests of the equipment"),
    ("4.12", "Integration with area EPS grounding", "needs the zero-sequence network and a fault study"),
    ("4.13", "Exemptions for emergency and standby DER", "a matter of contract and use"),
    ("6.2", "Area EPS faults and open phase", "needs fault currents and protection, not RMS at one point"),
    ("6.3", "Area EPS reclosing coordination", "needs the utility's reclosing practice and protection settings"),
    ("6.4.2.6", "Dynamic voltage support", "optional; its curve is agreed case by case"),
    ("6.5.2.8", "Inertial response", "optional; its form is agreed case by case"),
    ("7.2.2", "Rapid voltage changes", "needs the network's short-circuit strength; see a power flow of the feeder"),
    ("7.2.3", "Flicker", "needs the flicker meter of IEC 61000-4-15 on measured waveforms"),
    ("7.3", "Limitation of current distortion", "needs harmonics; an RMS trace has none"),
    ("7.4", "Limitation of overvoltage contribution", "needs instantaneous waveforms within a cycle"),
    ("8.1", "Unintentional islanding", "needs a resonant island on a test bench"),
    ("8.2", "Intentional islanding", "needs the island's plan and controllers"),
    ("9", "Secondary networks", "a matter of network protectors and policy"),
    ("10", "Interoperability", "conformance of protocols, not of power"),
    ("11", "Test and verification", "what is done with equipment; the bench follows part of it"),
)


def rows() -> list[Finding]:
    """A row for each."""
    return [
        Finding(
            clause=clause,
            title=title,
            result="not checkable",
            requirement="",
            citation=f"IEEE 1547 {clause}",
            explanation=why,
        )
        for clause, title, why in _WHY
    ]
