"""Records as rows to share: a score a row, with what decides it and what proves it."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import yaml

from benchmarks.core.result import Result
from benchmarks.errors import InputError
from benchmarks.tables import overview, paper


@dataclass(frozen=True)
class Score:
    """One headline number of one record. ``value``, ``low`` and ``high`` (95 %, over images or objects) in percent."""

    task: str
    protocol: str
    scale: str
    metric: str
    value: float
    low: float | None
    high: float | None
    model: str
    backbone: str
    method: str
    epochs: int | None
    pretraining: str
    seed: int
    data: str
    data_sha256: str
    weights_sha256: str
    version: str
    commit: str
    dirty: bool | None
    device: str
    started: str


def scores(results: Iterable[Result]) -> list[Score]:
    """Every headline number of ``results``, in their order; a figure's record has none."""
    return [score for result in results for score in _of(result)]


def _of(result: Result) -> list[Score]:
    found = []
    for heading, _, _, _, keys, factor in overview.columns([result]):
        value: Any = result.metrics
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is None:
            continue
        bounds = result.interval.get("values", {}).get("/".join(keys)) or (None, None)
        low, high = (None if bound is None else factor * bound for bound in bounds)
        whose, code = result.whose, result.code
        found.append(
            Score(
                result.task or result.benchmark, result.protocol, result.scale, heading, factor * value, low, high,
                result.name, paper.backbone_name(result), whose.method, whose.epochs, whose.data, result.seed,
                result.data["name"], result.data["annotations_sha256"], result.checkpoint["sha256"], code["version"],
                code["commit"] or "", code["dirty"], result.device, result.started,
            )
        )  # fmt: skip
    return found


def as_csv(rows: Sequence[Score]) -> str:
    """Comma-separated values with a heading; what nobody knows is empty. No cell begins a spreadsheet's formula."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(Score)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = asdict(row)
        for name, value in cells.items():
            if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t"):
                cells[name] = "'" + value
        writer.writerow(cells)
    return stream.getvalue()


def eval_results(rows: Sequence[Score], datasets: Mapping[str, str], source: str = "") -> dict[str, str]:
    """Model -> YAML for its repository's ``.eval_results/``: the first metric of each task, its mean over seeds.

    ``datasets``: task -> ``OWNER/NAME:TASK_ID``, the benchmark on the Hub whose leaderboard it belongs to. Only scale
    ``paper`` is told. Fields: huggingface.co/docs/hub/eval-results. :class:`InputError` where nothing is left, and
    where a model was judged under one task on two data sets or protocols, whose scores have no mean.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    full = [row for row in rows if row.scale == "paper" and row.task in datasets]
    for model, task in dict.fromkeys((row.model, row.task) for row in full):
        own = [row for row in full if (row.model, row.task) == (model, task)]
        own = [row for row in own if row.metric == own[0].metric]
        kinds = {(row.protocol, row.data_sha256, row.weights_sha256) for row in own}
        if len(kinds) > 1:
            raise InputError(f"{model}, {task}: {len(kinds)} protocols, data sets or weights have one name: export one")
        values = [row.value for row in own]
        spread = f", standard deviation {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        seeds = ", ".join(str(row.seed) for row in own)
        dataset, _, task_id = datasets[task].partition(":")
        if "/" not in dataset or not task_id:
            raise InputError(f"--dataset {task}={datasets[task]}: give OWNER/NAME:TASK_ID")
        code = f"flsl-bench {own[0].version} {own[0].commit[:10]}"
        about = f"{own[0].metric}; {own[0].protocol}; seeds {seeds}{spread}; {code}"
        entry: dict[str, Any] = {
            "dataset": {"id": dataset, "task_id": task_id},
            "value": round(statistics.fmean(values), 3),
        }
        entry |= {"date": max(row.started for row in own)[:10], "notes": about.strip()}
        found.setdefault(model, []).append(entry | ({"source": {"url": source}} if source else {}))
    if not found:
        there = ", ".join(sorted({row.task for row in rows if row.scale == "paper"})) or "none"
        raise InputError(f"no record of scale paper has a task of --dataset {', '.join(datasets)}: there are {there}")
    return {model: yaml.safe_dump(entries, sort_keys=False, width=1000) for model, entries in found.items()}
