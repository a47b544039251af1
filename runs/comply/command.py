"""`cosim comply`: judge DER traces against IEEE 1547."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class AbnormalName(StrEnum):
    """Abnormal operating performance categories."""

    I = "I"  # noqa: E741 - the category's name
    II = "II"
    III = "III"


class NormalName(StrEnum):
    """Normal operating performance categories."""

    A = "A"
    B = "B"


class EditionName(StrEnum):
    """Editions of the standard."""

    first = "2018"
    amended = "1547a-2020"


class AccuracyName(StrEnum):
    """How far readings are trusted."""

    table_3 = "table 3"
    exact = "exact"


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""

    @app.command("comply")
    def comply_(
        trace: Annotated[
            Path, typer.Argument(metavar="TRACE", help="CSV, Parquet, COMTRADE (.cfg, .cff), or a run's folder.")
        ],
        category: Annotated[AbnormalName | None, typer.Option(help="Abnormal operating performance category.")] = None,
        normal: Annotated[NormalName | None, typer.Option(help="Normal operating performance category.")] = None,
        edition: Annotated[EditionName | None, typer.Option(help="Edition; by default 1547a-2020.")] = None,
        settings: Annotated[
            Path | None, typer.Option(help="Settings that differ from the defaults (YAML, JSON, CSV).")
        ] = None,
        profile: Annotated[str | None, typer.Option(help="A utility's or state's profile of settings.")] = None,
        rating_kva: Annotated[
            float | None, typer.Option("--rating-kva", help="Nameplate apparent power [kVA].")
        ] = None,
        nominal_volts: Annotated[
            float | None, typer.Option(help="Phase-to-neutral base [V] of COMTRADE waves.")
        ] = None,
        accuracy: Annotated[
            AccuracyName | None,
            typer.Option(help="Trust readings to Table 3's accuracy, or exactly (default of a run's event window)."),
        ] = None,
        group: Annotated[str | None, typer.Option(help="The group of a run's results, if several have traces.")] = None,
        legacies_as: Annotated[
            AbnormalName | None, typer.Option(help="Of a run: hold DER from before 2018 to this category's defaults.")
        ] = None,
        requirement_only: Annotated[
            bool, typer.Option("--requirement-only", help="Say what the waveform demands, whatever the DER did.")
        ] = False,
        report: Annotated[Path | None, typer.Option(help="Write an HTML report there.")] = None,
        out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the JSON there too.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print one machine-readable object.")] = False,
    ) -> None:
        """Judge DER traces against IEEE 1547, clause by clause. Exit code 3: a DER failed.

        The DER of a run's event window are held to their own settings where nothing else is said.
        """
        from runs.comply.own_settings import own_settings
        from runs.comply.settings import read_fleet

        trusted = accuracy.value if accuracy else "exact"
        own = own_settings(trace, group, legacies_as.value if legacies_as else "", trusted)
        said = category or settings or profile
        fleet = read_fleet(
            category.value if category else None,
            settings,
            der=None if said else own,
            normal_category=normal.value if normal else None,
            edition=edition.value if edition else None,
            profile=profile,
            rating_kVA=rating_kva,
            accuracy=accuracy.value if accuracy else trusted if own else None,
        )
        if requirement_only:
            from runs.comply.judgement import requirements

            demands = requirements(trace, fleet, group=group, nominal_volts=nominal_volts)
            content = [demand.model_dump(mode="json") for demand in demands]
            _give(content[0] if len(content) == 1 else {"der": content}, out, as_json=as_json)
            if not as_json:
                from rich.console import Console

                from runs.comply.summary import print_requirement

                for demand in demands:
                    print_requirement(demand, Console())
            return
        from runs.comply.judgement import comply

        judged = comply(trace, fleet, group=group, nominal_volts=nominal_volts)
        shown = judged.judgement.model_dump(mode="json")
        if report is not None:
            from runs.comply.report import write_report

            shown["report"] = str(write_report(judged, report))
        _give(shown, out, as_json=as_json)
        if not as_json:
            from rich.console import Console

            from runs.comply.summary import print_judgement

            print_judgement(judged.judgement, Console())
            if report is not None:
                print(f"Report: {report}")
        if judged.judgement.failed:
            raise typer.Exit(3)


def _give(content: object, out: Path | None, *, as_json: bool) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    if out is not None:
        from cosim.errors import Fault, ScenarioError

        try:
            out.write_text(text + "\n")
        except OSError as error:
            raise ScenarioError([Fault(str(out), f"cannot be written: {error.strerror}.")]) from None
    if as_json:
        print(text)
