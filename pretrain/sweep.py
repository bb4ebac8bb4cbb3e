"""``python -m pretrain.sweep SWEEP.yaml [section.key=value ...]``: several runs of one recipe, one after another.

A sweep file has ``base`` (a config beside it), ``common`` and, under ``runs``, the keys each run changes. Each run is
an ordinary ``python -m pretrain`` in its own folder below ``run.out``, so the same command goes on where a sweep was
stopped, and runs that are done are passed over.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.errors import InputError, command_parser, run_command
from benchmarks.files import require_file
from pretrain.config import load_config


def read_sweep(path: Path) -> tuple[Path, dict[str, dict[str, Any]]]:
    """The base config and the changed keys of each run; :class:`InputError` when the file is no sweep."""
    try:
        tree = yaml.safe_load(require_file(path, "sweep").read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a YAML file: {error}") from error
    runs = tree.get("runs") if isinstance(tree, dict) else None
    if not isinstance(runs, dict) or "base" not in tree or tree.keys() - {"base", "common", "runs"}:
        raise InputError(f"{path} is no sweep: it needs base (a config), runs (names with changed keys), maybe common")
    changes = {str(name): {**(tree.get("common") or {}), **(changed or {})} for name, changed in runs.items()}
    return path.parent / str(tree["base"]), changes


def commands(path: Path, overrides: list[str], processes: int) -> dict[str, list[str]]:
    """The command line of each run. Every config is read here, so that a mistake shows before the first run starts."""
    base, changes = read_sweep(path)
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    found = {}
    for name, changed in changes.items():
        values = [f"{key}={json.dumps(value)}" for key, value in changed.items()]
        out = Path(load_config(base, [*values, *overrides]).run.out) / name
        kept = [value for value in overrides if not value.startswith("run.out=")]
        found[name] = [*launcher, "-m", "pretrain", str(base), *values, *kept, f"run.out={out}"]
    return found


def main() -> int:
    parser = command_parser(
        "Train every run of a sweep, one after another.",
        "python -m pretrain.sweep pretrain/configs/sweep_tables_5_6.yaml --processes 8 data.root=imagenet/train "
        "run.out=runs/ablations",
    )
    parser.add_argument("sweep", type=Path, help="YAML file, for instance pretrain/configs/sweep_tables_5_6.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values for every run")
    parser.add_argument("--only", default="", help="names of runs, separated by commas (default: all)")
    parser.add_argument("--processes", type=int, default=1, help="processes a run, one a GPU (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and start nothing")
    arguments = parser.parse_intermixed_args()
    found = commands(arguments.sweep, arguments.overrides, arguments.processes)
    wanted = [name for name in arguments.only.split(",") if name] or list(found)
    if unknown := [name for name in wanted if name not in found]:
        raise InputError(f"{arguments.sweep} has no run {unknown[0]!r}: there are {', '.join(found)}")
    failed = []
    for number, name in enumerate(wanted, start=1):
        print(f"[{number}/{len(wanted)}] {name}: {shlex.join(found[name])}", flush=True)
        if arguments.dry_run:
            continue
        code = _run(found[name])
        if code in (2, 130, 143):  # unusable input would stop the others too; a stop is meant for the sweep
            return code
        if code:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}; the same command tries them again", file=sys.stderr)
    return int(bool(failed))


def _run(command: list[str]) -> int:
    """Run ``command`` and return its exit code; SIGTERM and SIGUSR1 are passed on to it."""
    with subprocess.Popen(command) as process:
        handlers: dict[int, Any] = dict.fromkeys(
            (signal.SIGTERM, signal.SIGUSR1), lambda number, _: process.send_signal(number)
        )
        handlers[signal.SIGINT] = signal.SIG_IGN  # the terminal sends it to both: the run saves, then ends
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            return process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


if __name__ == "__main__":
    run_command(main)
