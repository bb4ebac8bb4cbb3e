"""Carry the first mask of DAVIS 2017 sequences through the video with a checkpoint's features; write the label maps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from benchmarks.checkpoints.convert import canonical
from benchmarks.davis.dataset import find_root, open_video, read_mask
from benchmarks.davis.pictures import draw_sequence
from benchmarks.davis.propagation import SCRATCH
from benchmarks.davis.protocol import PROTOCOLS
from benchmarks.davis.run import propagate_checkpoint
from benchmarks.devices import add_device_argument
from benchmarks.errors import command_parser, run_command
from benchmarks.files import write_json


def main() -> None:
    parser = command_parser(
        __doc__,
        "python tools/propagate_davis.py --checkpoint dino_vits16.pth --davis-root data/davis --out runs/dino_davis",
    )
    parser.add_argument("--checkpoint", required=True, help="canonical .safetensors, or any file that convert.py knows")
    parser.add_argument("--davis-root", required=True, help="the folder DAVIS, or one that holds it")
    parser.add_argument("--out", required=True, help="label maps go to OUT/<sequence>/<frame>.png")
    parser.add_argument("--sequences", help="comma-separated; default: ImageSets/2017/val.txt")
    parser.add_argument("--frames", type=int, help="stop after this many frames of each sequence")
    parser.add_argument("--heads", type=int, help="attention heads, where the checkpoint does not say")
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default="dino", help="dino: the paper's; crw: videowalk's (default: dino)"
    )
    parser.add_argument("--short-side", type=int, help="pixels; default: the protocol's 480, or its own for crw")
    parser.add_argument("--size-multiple", type=int, help="of the long side; default: the protocol's 64, or 1")
    add_device_argument(parser)
    parser.add_argument("--batch-size", type=int, help="frames to encode at once; default: 1 on cpu, 8 on cuda")
    parser.add_argument("--memory", type=int, default=SCRATCH, help="MiB to propagate in (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=1, help="sequences side by side (default: %(default)s)")
    parser.add_argument("--pictures", help="write a strip (PNG) and a moving picture (WebP) of each sequence there")
    parser.add_argument("--json", help="write the facts of the run there")
    args = parser.parse_args()

    protocol = PROTOCOLS[args.protocol]
    sizes = {"short_side": args.short_side, "size_multiple": args.size_multiple}
    protocol = dataclasses.replace(protocol, **{name: value for name, value in sizes.items() if value is not None})
    _, facts = propagate_checkpoint(
        canonical(args.checkpoint, heads=args.heads),
        args.davis_root,
        args.out,
        sequences=args.sequences.split(",") if args.sequences else None,
        frames=args.frames,
        protocol=protocol,
        device=args.device,
        batch_size=args.batch_size,
        scratch=args.memory,
        at_once=args.at_once,
    )
    frames = sum(facts["sequences"].values())
    print(f"{len(facts['sequences'])} sequence(s), {frames} frames in {facts['seconds']:.1f} s -> {args.out}")
    if args.pictures:
        root = find_root(args.davis_root)
        for name, count in facts["sequences"].items():
            video = open_video(root, name)
            maps = [read_mask(Path(args.out, name, f"{path.stem}.png")) for path in video.frames[:count]]
            draw_sequence(args.pictures, video, maps)
    if args.json:
        write_json(args.json, facts)


if __name__ == "__main__":
    run_command(main)
