"""Ids of any kind in a file, and the integers that stand for them in engines and in pycocotools."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from benchmarks.coco.findings import Findings, count, first

#: Integers that NumPy holds in 64 bits, as pycocotools needs of ids of images and categories.
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
#: Integers below this are exact in float64, in which pycocotools notes matches.
_EXACT = 2**53


def is_finite(value: Any) -> bool:
    """Whether a value is a number that a float can hold, and no bool."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def is_id(value: Any) -> bool:
    """Whether a value can name something: an integer, a text, or a float without a fraction."""
    kind = type(value)
    return kind is int or kind is str or (kind is float and value.is_integer() and abs(value) < _EXACT)


def is_number_from_1(value: Any) -> bool:
    """Whether pycocotools can tell an annotation of this id from none."""
    return type(value) is int and 0 < value < _EXACT


def engine_ids(ids: Sequence[Any], noun: str, findings: Findings) -> dict[Any, int]:
    """The file's own id -> the engines' integer, for images or categories; faults go to ``findings``.

    Integers stay. As soon as one of the ids is none, or too large, all are numbered from 1 in the order of the file.
    """
    unusable = [i for i, value in enumerate(ids) if not is_id(value)] if not set(map(type, ids)) <= {int, str} else []
    places = [f"no. {i + 1}" for i in unusable]
    findings.refuse(places, noun, "without a usable id", "give each an integer or a text of its own", "counted from 1")
    named = [value for value in ids if is_id(value)] if unusable else ids
    refuse_twice(named, f"{noun} id", findings)
    whole = [value if type(value) is str else int(value) for value in named]
    if all(type(value) is int and _LOWEST <= value <= _HIGHEST for value in whole):
        return dict(zip(named, whole, strict=True))
    return {value: number for number, value in enumerate(dict.fromkeys(named), 1)}


def refuse_twice(values: Sequence[Any], noun: str, findings: Findings) -> None:
    """A fault where one of ``values`` is there twice."""
    if len(set(values)) != len(values):
        twice = [value for value, times in Counter(values).items() if times > 1]
        findings.refuse(twice, noun, "there twice", "make them unique", "such as")


def numbers_of_annotations(ids: Sequence[Any], findings: Findings) -> list[int] | None:
    """Numbers from 1 in the order of the file where ids do not do as they are; None where they do.

    pycocotools takes 0 for "no match", so a truth of id 0 can never be found. Text and missing ids are no fault: no
    result names annotations. The same id twice is one: an annotation would vanish.
    """
    odd = [i for i, value in enumerate(ids) if value is not None and not is_id(value)]
    places = [f"no. {i + 1}" for i in odd]
    findings.refuse(places, "annotation", "without a usable id", "give each a number of its own", "counted from 1")
    refuse_twice([value for value in ids if is_id(value)], "annotation id", findings)
    if set(map(type, ids)) == {int} and min(ids) > 0 and max(ids) < _EXACT:
        return None
    return list(range(1, len(ids) + 1))


def alike(used: Sequence[Any], listed: Collection[Any], noun: str, findings: Findings) -> Sequence[Any]:
    """The ids that annotations use, written as the list writes them where one has numbers and the other text (VIA)."""
    kinds, own = set(map(type, used)), set(map(type, listed))
    if (kinds, own) not in (({str}, {int}), ({int}, {str})):
        return used
    table: dict[Any, Any] = {str(value): value for value in listed} if own == {int} else {}
    for value in listed if own == {str} else ():
        if value.isascii() and value.isdigit() and len(value) < 19 and str(int(value)) == value:
            table[int(value)] = value
    if table.keys().isdisjoint(used):
        return used
    findings.notes.append(f'{noun} ids are text on one side and numbers on the other: 1 and "1" count as the same')
    return [table.get(value, value) for value in used]


def refuse_unlisted(
    used: Sequence[Any], listed: Collection[Any], annotations: Sequence[Any], noun: str, findings: Findings
) -> list[int]:
    """Places of annotations whose image or category (``used``) is not in ``listed``; a fault where there are some."""
    if set(map(type, used)) <= {int, str} and not set(used).difference(listed):
        return []
    lost = [i for i, value in enumerate(used) if not is_id(value) or value not in listed]
    if lost:
        missing = list(dict.fromkeys(str(used[i]) for i in lost))
        known = {str(value) for value in listed}
        remedy = f"list the {noun} or correct the ids"
        if any(name in known for name in missing):
            remedy = f"one side writes numbers, the other text: write the {noun} ids alike"
        what = f"of {count(len(missing), noun)} not listed ({first(missing)})"
        findings.refuse([annotations[i] for i in lost], "annotation", what, remedy)
    return lost
