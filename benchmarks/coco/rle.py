"""Run lengths of COCO's masks, summed before pycocotools gets them: it does not end on lengths that do not add up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

#: Characters that are decoded at a time.
BLOCK = 1 << 18
#: A length is written in groups of five bits; more than this many no picture needs.
_LONGEST = 7


def pixels(counts: Sequence[str]) -> np.ndarray:
    """The pixels that each string of COCO's compressed run lengths covers, int64 ``[N]``; -1 where it is none.

    The format is cocoapi's ``rleToString``: groups of five bits from the lowest, a bit for "more", a bit for the sign,
    all 48 above; from the fourth length on the difference to the last but one is written.
    """
    found, start = np.full(len(counts), -1, np.int64), 0
    while start < len(counts):
        end, size = start, 0
        while end < len(counts) and (end == start or size + len(counts[end]) <= BLOCK):
            size += len(counts[end])
            end += 1
        found[start:end] = _block(counts[start:end])
        start = end
    return found


def plain_pixels(counts: Any) -> int:
    """The pixels that a list of run lengths covers; -1 where it is none."""
    if not isinstance(counts, list) or not counts or not set(map(type, counts)) <= {int}:
        return -1
    return sum(counts) if min(counts) >= 0 else -1


def _block(counts: Sequence[str]) -> np.ndarray:
    codes = [text.encode("ascii", "replace") for text in counts]
    # Characters beyond ASCII become "?", which is a valid digit: such texts are no run lengths.
    sound = np.array([text.isascii() and bool(text) for text in counts], bool)
    lengths = np.array([len(code) for code in codes], np.int64)
    digits = np.frombuffer(b"".join(codes), np.uint8).astype(np.int64) - 48
    if not len(digits):
        return np.full(len(counts), -1, np.int64)
    owner = np.repeat(np.arange(len(counts)), lengths)
    sound[owner[(digits < 0) | (digits > 63)]] = False
    last = (digits & 0x20) == 0
    ends = np.cumsum(lengths)[lengths > 0] - 1
    sound[owner[ends[~last[ends]]]] = False  # cut off within a length
    last[ends] = True
    stops = np.flatnonzero(last)
    starts = np.concatenate([[0], stops[:-1] + 1])
    place = np.arange(len(digits)) - np.repeat(starts, stops - starts + 1)
    sound[owner[stops[place[stops] >= _LONGEST]]] = False
    values = np.add.reduceat((digits & 0x1F) << (5 * np.minimum(place, _LONGEST)), starts)
    negative = (digits[stops] & 0x10) != 0
    values[negative] -= np.int64(1) << (5 * (np.minimum(place[stops], _LONGEST) + 1))[negative]
    run_owner = owner[starts]
    begin = np.flatnonzero(np.concatenate([[True], run_owner[1:] != run_owner[:-1]]))
    number = np.arange(len(values)) - np.repeat(begin, np.diff(np.concatenate([begin, [len(values)]])))
    runs = _undo_differences(values, run_owner, number)
    sound[run_owner[(runs < 0) | (runs > np.int64(1) << 40)]] = False
    totals = np.zeros(len(counts), np.int64)
    totals[run_owner[begin]] = np.add.reduceat(np.clip(runs, 0, np.int64(1) << 40), begin)
    return np.where(sound, totals, -1)


def _undo_differences(values: np.ndarray, owner: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Lengths from what is written: length ``i`` of a mask adds to its length ``i - 2`` for ``i`` from 3 on."""
    runs = values.copy()
    for parity in (0, 1):
        chain = np.flatnonzero((number % 2 == parity) & (number > 0))
        if len(chain):
            sums = np.cumsum(values[chain])
            new = np.concatenate([[True], owner[chain][1:] != owner[chain][:-1]])
            head = np.maximum.accumulate(np.where(new, np.arange(len(chain)), 0))
            runs[chain] = sums - (sums - values[chain])[head]
    return runs
