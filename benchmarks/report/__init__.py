"""One HTML page about folders of runs, complete in itself: it loads nothing, and works from a file."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from pathlib import Path

from benchmarks.files import write_text
from benchmarks.report import cards, compare, curves, pictures, spread, tables
from benchmarks.report.collect import Found, collect
from benchmarks.report.markup import Markup, join, tag
from benchmarks.report.numbers import groups

__all__ = ["write_report"]

HERE = Path(__file__).parent
#: The page may use its own styles, script and embedded pictures, and nothing from anywhere.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def write_report(folders: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str], budget: int) -> dict[str, int]:
    """Write the page about all runs in ``folders`` to ``out``; returns counts and bytes.

    ``budget``: bytes that embedded pictures may take. :class:`benchmarks.errors.InputError` for folders without
    records and for a broken record.
    """
    found = collect(folders)
    drawn, spent = pictures.section(found.pictures, budget)
    text = _page(found, drawn)
    write_text(out, text)
    return {
        "records": len(found.records),
        "pictures": len(found.pictures),
        "logs": len(found.logs),
        "picture bytes": spent,
        "bytes": len(text.encode()),
    }


def _page(found: Found, drawn: Markup | None) -> str:
    compared = groups(found.records)
    sections = [
        ("Overview", compare.overview(compared)),
        ("Tables", tables.section(found.records, compared)),
        ("Protocols", spread.section(found.records)),
        ("Comparison", compare.section(compared)),
        ("Pictures", drawn),
        ("Curves", curves.section(found.logs)),
        ("Runs", cards.section(found.records, found.ledgers)),
    ]
    there = [(name, content) for name, content in sections if content]
    links = tag("nav", *(tag("a", name, href=f"#{name.lower()}") for name, _ in there), aria_label="sections")
    head = join(
        [
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("title", "FLSL benchmarks: report"),
            Markup(f"<style>{(HERE / 'page.css').read_text(encoding='utf-8')}</style>"),
        ]
    )
    body = join(
        [
            tag("header", tag("h1", "FLSL benchmarks"), tag("p", _lead(found)), links),
            tag("main", *(tag("section", tag("h2", name), part, id=name.lower()) for name, part in there)),
            Markup(f"<script>{(HERE / 'page.js').read_text(encoding='utf-8')}</script>"),
        ]
    )
    return f"<!DOCTYPE html>\n{tag('html', tag('head', head), tag('body', body), lang='en')}\n"


def _lead(found: Found) -> str:
    names = len({record.name for record in found.records})
    mini = sum(record.scale == "mini" for record in found.records)
    now = datetime.datetime.now(datetime.timezone.utc)
    said = f"{len(found.records)} runs of {names} checkpoints, written {now:%Y-%m-%d %H:%M} UTC."
    if mini == len(found.records):
        return f"{said} All are of scale mini: nothing here is a reproduction of the paper."
    return f"{said} {mini} are of scale mini, which is no reproduction of the paper." if mini else said
