"""The report of a study: one HTML file without a network, a script or another file.

Order: what was asked, what follows, whether the controls hold, then the numbers, what each arm
read, and the study as it was declared.
"""

from collections.abc import Sequence
from html import escape

from schemas.yaml_text import write as yaml_of
from trainer.ablation.plots import curves, differences, endpoints
from trainer.ablation.results import StudyResult
from trainer.ablation.tables import (
    ARM_HEAD,
    CLAIM_HEAD,
    READ_HEAD,
    arm_rows,
    claim_rows,
    difference,
    holding,
    notes,
    read_rows,
)

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
CSS = """
:root { color-scheme: light dark; --ink: #1d2327; --soft: #59636b; --ground: #fbfbf9;
  --line: #d8dbd8; --good: #2b6e3f; --bad: #a3261d; --card: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e3; --soft: #a3abb1; --ground: #16191b;
  --line: #363b3f; --good: #7fc794; --bad: #f0857b; --card: #1e2224; } }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p, li { max-width: 46rem; } .soft { color: var(--soft); }
.verdict { background: var(--card); border: 1px solid var(--line); border-left: 5px solid
  var(--soft); padding: .6rem .9rem; margin: .5rem 0; border-radius: 4px; max-width: 46rem; }
.good { border-left-color: var(--good); } .bad { border-left-color: var(--bad); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; } th { font-weight: 600; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { width: 100%; max-width: 56rem; height: auto; background: #ffffff; color: #1d2327;
  border: 1px solid var(--line); border-radius: 4px; margin: .4rem 0; }
svg text { font: 12px system-ui, sans-serif; fill: #1d2327; } svg .small { font-size: 10.5px;
  fill: #59636b; } svg .soft { fill: #59636b; } svg .grid { stroke: #e3e5e3; }
svg .chance { stroke: #a3261d; stroke-dasharray: 4 3; }
pre { overflow-x: auto; background: var(--card); border: 1px solid var(--line); padding: .8rem;
  font-size: .8rem; border-radius: 4px; }
"""


def page(found: StudyResult) -> str:
    """The whole document; the same results give the same text."""
    study = found.study
    body = [
        f"<h1>{escape(study.name)}</h1>",
        f"<p>{escape(study.question.strip())}</p>",
        f'<p class="soft">{found.done} of {found.cells} cells are done.</p>',
        "<h2>What follows</h2>",
        *(_verdict(found) or ["<p>The study claims nothing.</p>"]),
        "<h2>Controls and conditions</h2>",
        *_checks(found),
        "<h2>Endpoint</h2>",
        endpoints(found),
        _table(ARM_HEAD, arm_rows(found), text=2),
        "<h2>Paired differences</h2>",
        differences(found),
        _table(CLAIM_HEAD, claim_rows(found), text=7),
        "<h2>By step</h2>",
        curves(found) or "<p>The study looks at one step only.</p>",
        "<h2>What each arm read</h2>",
        "<p>Means over seeds, of one cell.</p>",
        _table(READ_HEAD, read_rows(found), text=1),
        "<h2>How to read this</h2>",
        f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in notes(found))}</ul>",
        "<h2>The study as it was declared</h2>",
        f"<pre>{escape(yaml_of(study.model_dump(mode='json')))}</pre>",
        "<h2>Data and items</h2>",
        _table(("what", "sha256"), [[k, v] for k, v in sorted(found.facts.items())], text=2),
    ]
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
        f"<title>{escape(study.name)}: speechloom ablation</title><style>{CSS}</style></head>"
        f"<body><main>{chr(10).join(body)}</main></body></html>\n"
    )


def _verdict(found: StudyResult) -> list[str]:
    broken = any(one.holds is False for one in found.checks)
    parts = []
    for one in found.claims:
        kind = "good" if one.verdict == "shown" and not broken else ""
        warning = " A control does not hold: see below before believing it." if broken else ""
        parts.append(
            f'<div class="verdict {kind}"><strong>{escape(one.claim.name)}: '
            f"{escape(one.verdict)}.</strong> {escape(difference(one))}.{warning}</div>"
        )
    return parts


def _checks(found: StudyResult) -> list[str]:
    kinds = {True: "good", False: "bad", None: ""}
    return [
        f'<div class="verdict {kinds[one.holds]}"><strong>{escape(one.name)}: '
        f"{escape(holding(one))}.</strong> Expected: {escape(one.expected)}. "
        f"Found: {escape(one.found)}.</div>"
        for one in found.checks
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], text: int) -> str:
    """The first `text` columns hold words, the others numbers."""
    heads = "".join(f"<th scope='col'>{escape(name)}</th>" for name in head)
    lines = []
    for row in rows:
        cells = "".join(
            f"<td{'' if place < text else ' class=number'}>{escape(cell)}</td>"
            for place, cell in enumerate(row)
        )
        lines.append(f"<tr>{cells}</tr>")
    return (
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
