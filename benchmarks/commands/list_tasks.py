"""The tasks: name, what is judged how, what data each needs under --data-root, and what it costs."""

from __future__ import annotations

from benchmarks.core.tasks import tasks
from benchmarks.errors import command_parser
from benchmarks.files import write_json


def main() -> int:
    """Print the list. Returns the exit code."""
    parser = command_parser(__doc__ or "", "flsl-bench list")
    parser.add_argument("--json", metavar="FILE", help="write the list to this file as well")
    args = parser.parse_args()
    found = [
        {
            "task": task.name,
            "title": task.title,
            "version": task.version,
            "needs": task.needs,
            "engine": task.engine,
            "data": task.data,
            "chance": task.seeded,
            "cost": task.cost,
            "mini_minutes": task.mini_minutes,
        }
        for task in tasks().values()
    ]
    for entry in found:
        takes = "any network's frozen features" if entry["needs"] == "features" else "a checkpoint to fine-tune"
        print(f"{entry['task']}  (version {entry['version']})\n    {entry['title']}")
        print(f"    takes {takes}; data: {entry['data']}")
        print(f"    scale paper: {entry['cost']}; scale mini: about {entry['mini_minutes']:g} min on a core")
    if args.json:
        write_json(args.json, found)
    return 0
