"""Convert a self-supervised checkpoint to the suite's canonical form, and say what became of every tensor."""

from __future__ import annotations

from benchmarks.checkpoints.convert import TARGETS, convert
from benchmarks.errors import command_parser, run_command
from benchmarks.files import write_json


def main() -> int:
    parser = command_parser(
        __doc__, "python tools/convert.py dino_deitsmall16_pretrain.pth --out dino_s16.safetensors --heads 6"
    )
    parser.add_argument("source", help="checkpoint (.pth, .pt, .pkl, .safetensors ...) or HuggingFace folder")
    parser.add_argument("--out", required=True, help="NAME.safetensors (its card: NAME.json); for hf a folder")
    parser.add_argument("--target", choices=TARGETS, default="canonical", help="layout of the output")
    parser.add_argument("--heads", type=int, help="attention heads, where the file does not tell")
    parser.add_argument("--branch", help="branch of a training file, or dotted keys (default: the method's own)")
    parser.add_argument("--report", help="write the ledger to this file as JSON")
    arguments = parser.parse_args()
    ledger = convert(arguments.source, arguments.out, arguments.heads, arguments.branch, arguments.target)
    print(ledger.text())
    if arguments.report:
        write_json(arguments.report, ledger.to_dict())
    return 0


if __name__ == "__main__":
    run_command(main)
