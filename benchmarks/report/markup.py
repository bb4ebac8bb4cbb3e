"""HTML that cannot be broken by what stands in a record: every string is escaped unless it is :class:`Markup`."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

_WITHOUT_END = {"img", "meta", "br"}


class Markup(str):
    """Text that is HTML already."""

    def __add__(self, other: str) -> Markup:
        return join([self, other])


def tag(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """``<name>`` around ``children``. ``class_`` is class, ``data_value`` data-value; None and False leave one out."""
    head = name
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            head += f" {key}"
        elif value is not None and value is not False:
            head += f' {key}="{html.escape(str(value), quote=True)}"'
    if name in _WITHOUT_END:
        return Markup(f"<{head}>")
    return Markup(f"<{head}>{join(children)}</{name}>")


def join(parts: Iterable[Any]) -> Markup:
    """Parts one after the other, each escaped unless it is markup; None is nothing."""
    return Markup("".join(p if isinstance(p, Markup) else "" if p is None else html.escape(str(p)) for p in parts))


def json_block(identity: str, value: Any) -> Markup:
    """Data for the page's script; no text in it can end the element."""
    text = json.dumps(value, allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
    return Markup(f'<script type="application/json" id="{html.escape(identity, quote=True)}">{text}</script>')


def facts(pairs: Iterable[tuple[Any, Any]]) -> Markup:
    """A list of names and values."""
    return tag("dl", *(join((tag("dt", name), tag("dd", value))) for name, value in pairs))
