"""What a pretraining run learns as it goes: its snapshots judged by k-NN and DAVIS, beside what its log says.

Reads the files that a run leaves behind (``snapshots/step-N.pth``, ``log.jsonl``) and nothing else of it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks.checkpoints.convert import convert
from benchmarks.core.model import Model, load_model
from benchmarks.core.runner import evaluate
from benchmarks.core.tasks import task_named
from benchmarks.davis.dataset import find_root as find_davis
from benchmarks.errors import InputError
from benchmarks.figures.sheet import COLOURS, save_figure
from benchmarks.files import require_file, require_folder, write_text
from benchmarks.knn.dataset import find_root as find_imagenet
from benchmarks.quickstart import Effort

#: Key in ``log.jsonl`` -> what it is called.
LOGGED = {
    "inter": "inter-view loss (Eq. 11)",
    "intra": "intra-view loss (Eq. 8)",
    "perplexity": "clusters in use (perplexity)",
    "separability": "separability (Eq. 7)",
    "place_share": "token variance by place",
    "image_share": "token variance by image",
    "retrieved_from_true": "retrieved, from the true place",
    "retrieved_from_own": "retrieved, from its own grid place",
    "place_bits": "bits of place in the clusters",
}
#: Key in a snapshot's scores -> the task that gives it, and what it is called there; in percent.
JUDGED = {"top1": ("knn", "k-NN top-1"), "joint_vote": ("knn", "joint vote"), "davis": ("davis", "J&F")}

LINES = ("-", "--", "-.", ":")


def snapshots(run: str | os.PathLike[str]) -> dict[int, Path]:
    """Step -> file, ascending; :class:`InputError` where a run has none."""
    folder = require_folder(Path(run) / "snapshots", "snapshots of a pretraining run")
    found = {int(path.stem.removeprefix("step-")): path for path in sorted(folder.glob("step-*.pth"))}
    if not found:
        raise InputError(f"{folder} has no step-N.pth: keep snapshots with run.keep=50 and start the run again")
    return found


def read_log(run: str | os.PathLike[str]) -> dict[str, list[float]]:
    """Column -> values of a run's ``log.jsonl``; nan is what was not finite, or what an older log does not tell."""
    path = require_file(Path(run) / "log.jsonl", "log of a pretraining run")
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        columns = {name: [entry[name] for entry in entries] for name in ("step", "inter", "perplexity")}
        columns |= {name: [entry.get(name) for entry in entries] for name in LOGGED if name not in columns}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no log of a pretraining run ({error}): is it that of something else?") from error
    return {name: [float("nan") if value is None else float(value) for value in c] for name, c in columns.items()}


def judge(model: Model, data_root: str | os.PathLike[str], out: Path, progress: bool = True) -> dict[str, float]:
    """The :data:`JUDGED` scores of one model, at the demo's size; what has a record in ``out`` is read from it."""
    shown: dict[str, float | None] = {}
    for task, settings in Effort().tasks.items():
        if task in {name for name, _ in JUDGED.values()}:
            result = evaluate(model, task, Path(data_root), "mini", out, progress=progress, settings=settings)
            shown |= task_named(task).headline(result.metrics)
    return {key: float(shown[heading] or 0.0) for key, (_, heading) in JUDGED.items()}


def write_curves(
    runs: Mapping[str, str | os.PathLike[str]],
    controls: Mapping[str, str | os.PathLike[str]],
    data_root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    every: int = 1,
    progress: bool = True,
) -> list[Path]:
    """Judge every ``every``-th snapshot of ``runs`` (the last always) and the ``controls``; write curves and a table.

    ``out`` gets ``curves.png``, ``.svg``, ``.npz``, ``curves.md`` and a record of each score as soon as it is known:
    the same command goes on where it was stopped, and a run that has grown is judged where it is new.
    """
    if every < 1:
        raise InputError(f"every {every}th snapshot: give 1 or more")
    out = Path(out)
    find_imagenet(data_root), find_davis(data_root)
    logs = {name: read_log(folder) for name, folder in runs.items()}
    chosen = {}
    for name, folder in runs.items():
        files = list(snapshots(folder).items())
        chosen[name] = dict([*files[:-1][::every], files[-1]])

    def of_snapshot(path: Path, name: str) -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:  # not into the cache: a run has hundreds
            convert(path, Path(folder) / "snapshot.safetensors")
            return judge(load_model(Path(folder) / "snapshot.safetensors", name=name), data_root, out, progress)

    lines = {name: judge(load_model(path, name=name), data_root, out, progress) for name, path in controls.items()}
    curves = {
        name: {step: of_snapshot(path, f"{name}-step{step}") for step, path in files.items()}
        for name, files in chosen.items()
    }
    write_text(out / "curves.md", table(curves, lines))
    arrays = {f"{name}/{key}": np.array(values) for name, log in logs.items() for key, values in log.items()}
    for name, by_step in curves.items():
        arrays[f"{name}/snapshot"] = np.array(list(by_step))
        arrays |= {f"{name}/{key}": np.array([scores[key] for scores in by_step.values()]) for key in JUDGED}
    return [*save_figure(out / "curves", figure(logs, curves, lines), arrays), out / "curves.md"]


def figure(
    logs: Mapping[str, Mapping[str, list[float]]],
    curves: Mapping[str, Mapping[int, Mapping[str, float]]],
    controls: Mapping[str, Mapping[str, float]],
) -> Figure:
    """A panel for each quantity against the step, a line for each run, a grey level for each control."""
    drawing = Figure(figsize=(16, 9.6), layout="constrained")
    axes = drawing.subplots(3, 5).flat
    styles = {
        name: {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i // len(COLOURS) % len(LINES)]}
        for i, name in enumerate(curves)
    }
    for key, heading in [*LOGGED.items(), *((key, heading) for key, (_, heading) in JUDGED.items())]:
        axis = next(axes)
        axis.set_title(heading + (", %" if key in JUDGED else ""), fontsize=10)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        for name, style in styles.items():
            if key in LOGGED:
                axis.plot(logs[name]["step"], logs[name][key], label=name, linewidth=1.3, **style)
            else:
                steps = list(curves[name])
                values = [curves[name][step][key] for step in steps]
                axis.plot(steps, values, label=name, marker="o", markersize=3, linewidth=1.3, **style)
        for control, scores in controls.items() if key in JUDGED else ():
            axis.axhline(scores[key], color="0.45", linewidth=1)
            axis.annotate(
                control, (1, scores[key]), xycoords=("axes fraction", "data"), xytext=(-3, 2),
                textcoords="offset points", ha="right", fontsize=8, color="0.3",
            )  # fmt: skip
    handles, labels = drawing.axes[0].get_legend_handles_labels()
    legend = next(axes)
    legend.axis("off")
    legend.legend(handles, labels, loc="center", frameon=False, fontsize=9)
    for unused in axes:
        unused.axis("off")
    return drawing


def table(curves: Mapping[str, Mapping[int, Mapping[str, float]]], controls: Mapping[str, Mapping[str, Any]]) -> str:
    """The scores as Markdown: the controls, then each run's snapshots."""
    rows = [
        f"| run | step | {' | '.join(heading for _, heading in JUDGED.values())} |",
        "| --- | --- |" + " --- |" * len(JUDGED),
    ]

    def row(name: str, step: str, scores: Mapping[str, float]) -> str:
        return f"| {name} | {step} | {' | '.join(f'{scores[key]:.1f}' for key in JUDGED)} |"

    rows += [row(name, "", scores) for name, scores in controls.items()]
    rows += [row(name, str(step), scores) for name, by_step in curves.items() for step, scores in by_step.items()]
    return "\n".join(rows) + "\n"
