"""Run the cases of a tier, compare or store what they give, and go on past one that fails."""

from __future__ import annotations

import contextlib
import datetime
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.coco.dataset import CocoRoot
from benchmarks.core.model import load_model
from benchmarks.core.result import free_result
from benchmarks.engines.mmdet import require_mmdet
from benchmarks.engines.mmseg import require_mmseg
from benchmarks.errors import InputError
from benchmarks.files import read_json, sha256_of
from benchmarks.regression import inference, instant, training
from benchmarks.regression.expected import (
    TOLERANCE,
    TRAINING_TOLERANCE,
    Entry,
    Row,
    compare,
    find,
    read_expected,
    replace,
    store,
)
from benchmarks.regression.setting import DETECTORS_ON_COCO, ROOM, Measured, Setting
from benchmarks.regression.worlds import identity

TIERS = {"instant": instant.CASES, "inference": inference.CASES, "training": training.CASES}
EXPECTED = ROOM / "expected.json"
SHAPES = "shapes world"
#: Points that a score of tier ``inference`` must reach to be worth watching.
TELLING = 1.0

#: Cases that need an engine.
_ENGINES = {"coco": require_mmdet, "vitdet": require_mmdet, "uavdt": require_mmdet, "ade20k": require_mmseg}


@dataclass
class Outcome:
    """All rows, the seconds and the record of each case, and what was stored."""

    rows: list[Row] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    stored: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(row.status == "ok" for row in self.rows)


def choose(tier: str, only: Sequence[str], own_coco: bool) -> list[str]:
    """The cases to run; :class:`InputError` for a name that is none, or where an engine is missing."""
    there = [name for name in TIERS[tier] if not own_coco or name in DETECTORS_ON_COCO]
    unknown = [name for name in only if name not in there]
    if unknown:
        where = f"tier {tier}" + (" with --coco-root" if own_coco else "")
        raise InputError(f"--only {unknown[0]}: {where} has {', '.join(there)}")
    names = [name for name in there if not only or name in only]
    for name in names:
        _ENGINES.get(name, lambda: None)()
    return names


def data_name(coco: CocoRoot | None) -> str:
    """What stored values are filed under: the shapes world, or the user's folder with its fingerprint."""
    return SHAPES if coco is None else f"{coco.path.name} {identity(coco.path)['sha256'][:12]}"


def require_stored(expected: Path, setting: Setting, names: Sequence[str], data: str) -> None:
    """:class:`InputError` where there is nothing to compare a user's own data with."""
    content = read_expected(expected) if expected.is_file() else {"tiers": {}}
    missing = [name for name in names if find(content, setting.tier, name, data) is None]
    if missing:
        raise InputError(
            f"{expected} has no values of tier {setting.tier} for {', '.join(missing)} on {data!r}: "
            "store them from a state that you trust, with the same command and --update"
        )


def check(setting: Setting, names: Sequence[str], expected: Path, data: str) -> Outcome:
    """Run ``names`` once each and compare with the stored values; tier ``instant`` has none."""
    outcome = Outcome()
    content = read_expected(expected) if setting.tier != "instant" else {}
    for name in names:
        measured = _attempt(setting, name, 0, outcome)
        if measured is None:
            continue
        if setting.tier == "instant":
            outcome.rows.append(Row(name, "two steps", "ok"))
            continue
        entry = _entry(setting.tier, [measured])
        outcome.rows += compare(name, find(content, setting.tier, name, data), entry)
        outcome.rows += _order(setting.tier, name, measured, 0)
    return outcome


def update(setting: Setting, names: Sequence[str], expected: Path, data: str, seeds: Sequence[int]) -> Outcome:
    """Run ``names`` and store their values; what failed keeps the stored ones. ``seeds`` are for tier ``training``."""
    outcome = Outcome()
    content = read_expected(expected) if expected.is_file() else {"tiers": {}}
    for name in names:
        found = []
        for seed in seeds if setting.tier == "training" else seeds[:1]:
            measured = _attempt(setting, name, seed, outcome)
            if measured is None:
                break
            order = _order(setting.tier, name, measured, seed)
            outcome.rows += order
            if any(row.status != "ok" for row in order):
                break
            found.append(measured)
        else:
            # The first seed's record is what a later check repeats.
            since = _since(outcome.records[f"{name} {seeds[0]}"])
            before = find(content, setting.tier, name, data)
            entry, lines = replace(before, _entry(setting.tier, found, seeds), since)
            store(expected, {(setting.tier, name, data): entry})
            outcome.stored += [f"{name}: {line}" for line in lines]
            if setting.tier == "inference" and max(found[0].scores.values()) < TELLING:
                outcome.stored.append(
                    f"{name}: no score reaches {TELLING:g} point, so a fault will hardly move one: store weights that "
                    "detect something (a better --checkpoint, more images)"
                )
    return outcome


def _attempt(setting: Setting, name: str, seed: int, outcome: Outcome) -> Measured | None:
    """Run one case and record it; None, and a row, where it fails."""
    title = f"{name}, seed {seed}" if setting.tier == "training" else name
    log = setting.out / f"regression-{setting.tier}-{name}.log"
    print(f"[{setting.tier}] {title} ...", file=sys.stderr, flush=True)
    started, begun = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    try:
        case: Callable[..., Measured] = TIERS[setting.tier][name]
        # Engines talk; here only the scores and the cases that failed have something to say.
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "w", encoding="utf-8") as text:
            with contextlib.redirect_stderr(text), contextlib.redirect_stdout(text):
                measured = case(setting, seed) if setting.tier == "training" else case(setting)
    except Exception as error:
        # Whatever one benchmark dies of, the others have something to say.
        with open(log, "a", encoding="utf-8") as text:
            traceback.print_exc(file=text)
        line = " ".join(f"{type(error).__name__}: {error}".split())
        outcome.rows.append(Row(name, "", "failed", note=f"{line} (all of it in {log})"))
        return None
    finally:
        outcome.seconds[title] = round(time.monotonic() - begun, 1)
    if measured.scores:
        files = identity(measured.data)
        data = {"name": measured.data.name, "files": files["files"], "annotations_sha256": files["sha256"]}
        data["images_sha256"] = ""  # the other covers every file
        model, scores = load_model(setting.checkpoint), dict(measured.scores)
        result = free_result(model, name, f"regression-{setting.tier}", scores, measured.run, data, seed, started)
        outcome.records[f"{name} {seed}"] = str(result.write(setting.out / "records"))
    return measured


def _entry(tier: str, found: Sequence[Measured], seeds: Sequence[int] = (0,)) -> Entry:
    """What is compared and stored: the first run's scores, with the tolerance of their tier."""
    first = found[0]
    scores: dict[str, dict[str, Any]] = {}
    for name, value in first.scores.items():
        scores[name] = {"value": round(value, 4), "tolerance": TOLERANCE}
        if tier == "training":
            values = [measured.scores[name] for measured in found]
            scores[name]["tolerance"] = round(max(TRAINING_TOLERANCE, max(values) - min(values)), 4)
            scores[name]["seeds"] = {str(seed): round(v, 4) for seed, v in zip(seeds, values, strict=True)}
    return {
        "data": identity(first.data),
        "weights": {path.name: sha256_of(path) for path in first.weights},
        "scores": scores,
    }


def _order(tier: str, name: str, measured: Measured, seed: int) -> list[Row]:
    """In tier ``training``: is the positive control above random weights?"""
    if tier != "training":
        return []
    control, random = (
        next(v for k, v in measured.scores.items() if k.endswith(which))
        for which in (training.CONTROL, training.RANDOM)
    )
    status = "ok" if control > random else "not above random"
    return [Row(name, f"control above random, seed {seed}", status, control, random)]


def _since(record: str) -> dict[str, Any]:
    content = read_json(record, "record")
    return {"record": Path(record).name, **content["code"], "date": content["started"]}
