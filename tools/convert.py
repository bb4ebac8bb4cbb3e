"""Convert a self-supervised checkpoint to the suite's canonical form, and say what became of every tensor."""

from __future__ import annotations

from benchmarks.checkpoints.convert import TARGETS, convert
from benchmarks.checkpoints.sources.known import table_of_known
from benchmarks.errors import command_parser, run_command
from benchmarks.files import write_json


def main() -> int:
    parser = command_parser(
        __doc__, "python tools/convert.py dino_deitsmall16_pretrain.pth --out dino_s16.safetensors --heads 6"
    )
    parser.add_argument(
        "source",
        nargs="?",
        help="checkpoint (.pth, .pt, .pkl, .safetensors ...), folder, or name: timm:NAME, hf:OWNER/NAME[@REVISION], "
        "hub:REPOSITORY:ENTRY, https://...[#sha256=...]",
    )
    parser.add_argument("--out", help="NAME.safetensors (its card: NAME.json); for hf a folder")
    parser.add_argument("--list", action="store_true", help="list well-known checkpoints and where they are")
    parser.add_argument("--target", choices=TARGETS, default="canonical", help="layout of the output")
    parser.add_argument("--heads", type=int, help="attention heads, where the file does not tell")
    parser.add_argument("--architecture", help="timm's name of the network, where a bare file stands for several")
    parser.add_argument("--branch", help="branch of a training file, or dotted keys (default: the method's own)")
    parser.add_argument("--report", help="write the ledger to this file as JSON")
    arguments = parser.parse_args()
    if arguments.list:
        print(table_of_known())
        return 0
    if arguments.source is None or arguments.out is None:
        parser.error("SOURCE and --out are needed (or --list)")
    ledger = convert(
        arguments.source,
        arguments.out,
        arguments.heads,
        arguments.branch,
        arguments.target,
        arguments.architecture,
    )
    print(ledger.text())
    if arguments.report:
        write_json(arguments.report, ledger.to_dict())
    return 0


if __name__ == "__main__":
    run_command(main)
