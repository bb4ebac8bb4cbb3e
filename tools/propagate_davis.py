"""Carry the first mask of DAVIS 2017 sequences through the video with a checkpoint's features; write the label maps."""

from __future__ import annotations

from benchmarks.checkpoints.convert import canonical
from benchmarks.davis.propagation import Protocol
from benchmarks.davis.run import propagate_checkpoint
from benchmarks.errors import command_parser, run_command
from benchmarks.files import write_json


def main() -> None:
    parser = command_parser(
        __doc__,
        "python tools/propagate_davis.py --checkpoint dino_vits16.pth --davis-root data/DAVIS --out runs/dino_davis",
    )
    parser.add_argument("--checkpoint", required=True, help="canonical .safetensors, or any file that convert.py knows")
    parser.add_argument("--davis-root", required=True, help="the folder DAVIS, or one that holds it")
    parser.add_argument("--out", required=True, help="label maps go to OUT/<sequence>/<frame>.png")
    parser.add_argument("--sequences", help="comma-separated; default: ImageSets/2017/val.txt")
    parser.add_argument("--frames", type=int, help="stop after this many frames of each sequence")
    parser.add_argument("--heads", type=int, help="attention heads, where the checkpoint does not say")
    parser.add_argument("--short-side", type=int, default=Protocol.short_side, help="pixels (default: %(default)s)")
    parser.add_argument(
        "--size-multiple", type=int, default=Protocol.size_multiple, help="of the long side (default: %(default)s)"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--json", help="write the facts of the run there")
    args = parser.parse_args()

    protocol = Protocol(short_side=args.short_side, size_multiple=args.size_multiple)
    sequences = args.sequences.split(",") if args.sequences else None
    _, facts = propagate_checkpoint(
        canonical(args.checkpoint, heads=args.heads),
        args.davis_root,
        args.out,
        sequences,
        args.frames,
        protocol,
        args.device,
    )
    frames = sum(facts["sequences"].values())
    print(f"{len(facts['sequences'])} sequence(s), {frames} frames in {facts['seconds']:.1f} s -> {args.out}")
    if args.json:
        write_json(args.json, facts)


if __name__ == "__main__":
    run_command(main)
