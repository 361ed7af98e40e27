"""The page of a report: one HTML file that needs nothing else, for light and dark, wide and narrow screens."""

import base64
import hashlib
import json
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

from g2r.artifacts import replacing
from g2r.evaluation.html.examples import examples_data
from g2r.evaluation.html.files import Report, read_report
from g2r.evaluation.html.findings import LEVEL
from g2r.evaluation.html.histograms import histogram_groups
from g2r.evaluation.html.scatters import quality_plots, recall_plots
from g2r.evaluation.html.sections import facts, leak_text, section_views
from g2r.evaluation.significance import resolvable_win_rate

PAGE = "report.html"
_TEMPLATE, _STYLE, _SCRIPT = "report.html.jinja", "report.css", "report.js"


def write_page(folder: Path) -> Path:
    """Write `report.html` from the other files of a report's folder and return its path.

    Raises:
        InputError: a file of the report is missing, malformed or holds NaN.
        ArtifactError: the page cannot be written.
    """
    html = page(read_report(folder))
    with replacing(folder / PAGE) as new:
        new.write_text(html, encoding="utf-8")
    return folder / PAGE


def page(report: Report) -> str:
    """The report as one HTML page. Every text of it is escaped: a reply may hold markup."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("g2r.evaluation", "html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    script = _packaged(_SCRIPT)
    sections = section_views(report.sections)
    shown, absent = histogram_groups(report.items)
    data = examples_data(report.items)
    return environment.get_template(_TEMPLATE).render(
        title=report.title,
        facts=facts(report),
        verdicts=[row for section in sections for row in section.verdicts],
        reading=_reading(len(report.items)),
        sections=sections,
        quality_plots=quality_plots(report),
        recall_plots=recall_plots(report.searches),
        histograms_shown=shown,
        histograms_absent=absent,
        explorer=data is not None,
        leak_text=leak_text(report.sections),
        leaks=[{"context_id": i.context_id, **leak.model_dump()} for i in report.items for leak in i.leaks],
        manifest=json.dumps(asdict(report.manifest), indent=2, ensure_ascii=False) if report.manifest else "",
        data=embedded(data),
        style=_packaged(_STYLE),
        script=script,
        script_hash=_source_hash(script),
    )


def embedded(data: Any) -> str:
    """`data` as JSON that may stand in a script element: no text of it can close the element."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _reading(contexts: int) -> str:
    return (
        f"▲ and ▼ mark p < {LEVEL:g} after Holm's adjustment; higher is not better by every measure, and no difference "
        f"shown is not equality. With {contexts} contexts a win rate below {resolvable_win_rate(contexts):.2f} "
        "is not told from a coin with 80% power."
    )


def _packaged(name: str) -> str:
    return (files("g2r.evaluation.html") / name).read_text(encoding="utf-8")


def _source_hash(script: str) -> str:
    """What the page's security policy allows to run: this script and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
