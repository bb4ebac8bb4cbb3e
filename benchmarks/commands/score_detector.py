"""Score a published fine-tuned detector or segmenter on validation data with this suite's own pipeline.

A second opinion on a published number. Files: SelfPatch's Mask R-CNN FPN (mmdet 2) and Semantic FPN (mmseg 0), and the
ViTDets of detectron2's model zoo (.pkl). Nothing in a file is run; every tensor has its place, or the file is refused.
No tensor tells the number of heads: --heads 6 8 scores the file as both, each a record of its own. The record is one of
a fine-tuned detector and never one of a backbone's benchmark.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.ade20k.dataset import Ade20kRoot, open_ade20k
from benchmarks.coco.check import require_pictures
from benchmarks.coco.dataset import CocoRoot, open_validation
from benchmarks.core.attribution import Attribution
from benchmarks.core.data import Fingerprint, fingerprint
from benchmarks.core.model import name_of
from benchmarks.core.result import Result, read_results
from benchmarks.engines import mmdet, mmseg
from benchmarks.errors import command_parser
from benchmarks.files import write_json
from benchmarks.released.reading import open_finetuned
from benchmarks.released.score import Read, score, understand
from benchmarks.tables.released import TABLES
from benchmarks.tables.render import render, sheet

EXAMPLE = (
    "python tools/score_detector.py selfpatch_mask_rcnn.pth --data-root data --heads 6 8 --method SelfPatch \\\n"
    "      --data IN-1k --out runs/selfpatch"
)


def main() -> int:
    """Read, score, print the table. Returns the exit code."""
    parser = command_parser(__doc__ or "", EXAMPLE)
    parser.add_argument("file", metavar="FILE", help="of mmdet 2, mmseg 0 or detectron2, as published")
    parser.add_argument("--data-root", required=True, help="folder with coco/ or ade20k/, in their own layouts")
    parser.add_argument("--out", default="runs/released", help="records and detections go there (default: %(default)s)")
    parser.add_argument("--heads", type=int, nargs="+", help="score it with each; default: the file's, or its config's")
    parser.add_argument("--name", help="in records and tables (default: the file's name)")
    parser.add_argument("--same-classes", action="store_true", help="the file's classes are the data's, in its order")
    parser.add_argument("--method", help="whose weights these are, such as SelfPatch: held against published rows")
    parser.add_argument("--epochs", type=int, help="of the pretraining")
    parser.add_argument("--data", help="of the pretraining, such as IN-1k")
    parser.add_argument("--dry-run", action="store_true", help="say what the file is and who says so, and stop")
    parser.add_argument("--json", metavar="FILE", help="write the records to this file as well")
    args = parser.parse_args()

    said = Attribution.said(args.method, args.epochs, args.data) or Attribution()
    file = open_finetuned(args.file)
    reads = [understand(file, heads) for heads in dict.fromkeys(args.heads or [None])]
    for read in reads:
        print("\n".join(described(read)))
    data, mark = opened(reads[0], args.data_root)
    if args.dry_run:
        return 0
    out, name = Path(args.out), args.name or name_of(args.file)
    results = [score(read, data, mark, out, name, said, args.same_classes) for read in reads]
    for result in results:
        print("\n".join(_scores(result)))
    stored = read_results(out / "records")
    for table in TABLES:
        if any(table.compares(result) and result.benchmark == table.benchmark for result in results):
            print(f"\n{render(sheet(table, stored), 'text')}")
    if args.json:
        write_json(args.json, [result.to_dict() for result in results])
    return 0


def described(read: Read) -> list[str]:
    """For people: what a file is, and who says what no tensor does."""
    a = read.card.architecture
    size = f"width {a.embed_dim}, {a.depth} blocks, patch {a.patch_size}"  # type: ignore[union-attr]
    lines = [f"{read.file.path}: {read.layout.name}; {size}; {len(read.sources)} tensors"]
    return lines + [f"  {name}: {fact}" for name, fact in read.facts.items()]


def opened(read: Read, root: str) -> tuple[CocoRoot | Ade20kRoot, Fingerprint]:
    """The validation data that a detector is scored on, and its identity."""
    if read.layout.detector == "semantic-fpn":
        mmseg.require_mmseg()
        scenes = open_ade20k(root)
        images = [scenes.image("validation", stem) for stem in scenes.stems["validation"]]
        return scenes, fingerprint(scenes.path, scenes.annotation_files(), images)
    mmdet.require_mmdet()
    data = open_validation(root)
    require_pictures(data)
    return data, fingerprint(data.path, [data.annotations("val")], data.files)


def _scores(result: Result) -> list[str]:
    shown: dict[str, Any] = {key: value for key, value in result.metrics.items() if not isinstance(value, dict)}
    numbers = ", ".join(f"{key} {'-' if value is None else format(value, '.2f')}" for key, value in shown.items())
    if result.scale == "mini":
        numbers += " (not the whole validation set: scale mini)"
    return [f"{result.name}: {numbers}"]
