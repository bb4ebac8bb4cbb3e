"""Carry the first mask of DAVIS 2017 sequences through the video with a checkpoint's features; write the label maps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks.checkpoints.convert import canonical
from benchmarks.davis.dataset import find_root, open_video, read_mask
from benchmarks.davis.pictures import draw_sequence
from benchmarks.davis.propagation import SCRATCH
from benchmarks.davis.protocol import CHOICES, PROTOCOLS, Protocol, chosen_protocols
from benchmarks.davis.run import propagate_checkpoint
from benchmarks.davis.study import layer_study
from benchmarks.devices import add_device_argument
from benchmarks.errors import InputError, command_parser, run_command
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
        "--protocol",
        choices=[*PROTOCOLS, "all"],
        default="dino",
        help="dino: the paper's; crw: videowalk's; dinov3-*: DINOv3's notebook; siammae: CropMAE's program; "
        "all: each, in OUT/<protocol> (default: dino)",
    )
    parser.add_argument("--layer", default="last", help="block, from 1; last; or best: all, scored (default: last)")
    parser.add_argument("--short-side", type=int, help="pixels; default: the protocol's")
    parser.add_argument("--size-multiple", type=int, help="of the long side; default: the protocol's")
    parser.add_argument("--long-side", choices=CHOICES["long_side"], help="to the multiple below or above")
    parser.add_argument("--upsampling", choices=CHOICES["upsampling"], help="of labels; default: the protocol's")
    add_device_argument(parser)
    parser.add_argument("--batch-size", type=int, help="frames to encode at once; default: 1 on cpu, 8 on cuda")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the encoder (default: fp32)")
    parser.add_argument("--memory", type=int, default=SCRATCH, help="MiB to propagate in (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=1, help="sequences side by side (default: %(default)s)")
    parser.add_argument("--pictures", help="write a strip (PNG) and a moving picture (WebP) of each sequence there")
    parser.add_argument("--json", help="write the facts of the run there")
    args = parser.parse_args()

    checkpoint = canonical(args.checkpoint, heads=args.heads)
    protocols = chosen_protocols(args.protocol)
    facts = {}
    for name, protocol in protocols.items():
        out = Path(args.out, name) if len(protocols) > 1 else Path(args.out)
        facts[name] = _run(args, checkpoint, _with_options(args, protocol), out)
    if args.json:
        write_json(args.json, facts if len(protocols) > 1 else facts[args.protocol])


def _with_options(args: argparse.Namespace, protocol: Protocol) -> Protocol:
    """The protocol with the command line's changes; a short side that is asked for holds for every patch size."""
    own = {} if args.short_side is None else {"short_sides": (), "fixed_size": None}
    names = ("short_side", "size_multiple", "long_side", "upsampling")
    return protocol.variant(**{name: getattr(args, name) for name in names}, quietly=own)


def _run(args: argparse.Namespace, checkpoint: Path, protocol: Protocol, out: Path) -> dict[str, Any]:
    options = {
        "sequences": args.sequences.split(",") if args.sequences else None,
        "frames": args.frames,
        "protocol": protocol,
        "device": args.device,
        "batch_size": args.batch_size,
        "scratch": args.memory,
        "at_once": args.at_once,
        "precision": args.precision,
    }
    if args.layer == "best":
        study = layer_study(checkpoint, args.davis_root, out, **options)
        for layer, result in study["layers"].items():
            print(f"{protocol.name}  layer {layer:>2}  J&F {result['metrics']['J&F-Mean']:.4f}")
        print(f"best: layer {study['best']}, chosen by these scores")
        return study
    if args.layer != "last" and not args.layer.isdecimal():
        raise InputError(f"--layer {args.layer} is not a layer: give a number from 1, last or best")
    layer = None if args.layer == "last" else int(args.layer)
    _, facts = propagate_checkpoint(checkpoint, args.davis_root, out, layer=layer, **options)
    frames = sum(facts["sequences"].values())
    print(
        f"{protocol.name}: {len(facts['sequences'])} sequence(s), {frames} frames in {facts['seconds']:.1f} s -> {out}"
    )
    if args.pictures:
        root = find_root(args.davis_root)
        pictures = Path(args.pictures, out.name) if args.protocol == "all" else Path(args.pictures)
        for name, count in facts["sequences"].items():
            video = open_video(root, name)
            maps = [read_mask(out / name / f"{path.stem}.png") for path in video.frames[:count]]
            draw_sequence(pictures, video, maps)
    return facts


if __name__ == "__main__":
    run_command(main)
