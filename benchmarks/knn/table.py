"""The command of Tables 5 and 6; the two differ in their settings only."""

from __future__ import annotations

from pathlib import Path

from benchmarks.errors import InputError
from benchmarks.files import write_json
from benchmarks.knn.ablation import Plan, check, describe, judge, open_data
from benchmarks.records import read_records
from benchmarks.tables import ablation
from benchmarks.tables.command import chosen_device, named, table_parser


def run_table(table: ablation.Ablation, doc: str, example: str) -> int:
    """Parse the command line, run what it asks for, print the table. Returns the exit code."""
    parser = table_parser(doc, example, checkpoints_required=False)
    parser.add_argument("--settings", nargs="+", help="run these only; default: all of the table")
    parser.add_argument("--epochs", type=int, help="of pretraining; default: the scale's own (paper: 100)")
    args = parser.parse_args()
    given, out = named(args.checkpoint), Path(args.out)
    settings = {setting.name: setting for setting in table.at(args.scale)}
    for name in args.settings or ():
        if name not in settings:
            raise InputError(f"Table {table.number} has no setting {name!r} at this scale: {', '.join(settings)}")
    chosen = [settings[name] for name in args.settings or settings]
    root = open_data(args.data_root, args.scale)
    device = chosen_device(args.device)
    plan = Plan(args.scale, root, out, args.launcher, args.gpus, device, args.epochs)
    if args.dry_run:
        print(describe(plan, chosen, args.seeds, given))
        return 0
    check(plan, table, given)
    code = judge(plan, chosen, args.seeds, given, args.heads)
    if code:
        return code
    records = read_records(out / "records")
    print(ablation.text(table, records, args.scale))
    print(f"records: {out / 'records'}   pictures: {out / 'pictures'}")
    if args.json:
        write_json(args.json, records)
    return 0
