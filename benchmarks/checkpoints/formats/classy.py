"""ResNets in the names of Classy Vision (facebookresearch/ClassyVision), which SSCD's published weights have."""

from __future__ import annotations

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.family import ResNetFamily, Taken, table
from benchmarks.checkpoints.names import Layout, Row, row


def _rows() -> tuple[Row, ...]:
    rows = [row("conv1.weight", "initial_block._module.0.weight"), row("bn1.{q}", "initial_block._module.1.{q}")]
    for stage in range(4):
        ours, theirs = f"layer{stage + 1}.{{i}}", f"blocks.{stage}.block{stage}-{{i}}"
        for n, (conv, norm) in enumerate((("0", "convolutional_block.1"), ("3", "convolutional_block.4"), ("6", "bn"))):
            rows.append(row(f"{ours}.conv{n + 1}.weight", f"{theirs}.convolutional_block.{conv}.weight"))
            rows.append(row(f"{ours}.bn{n + 1}.{{q}}", f"{theirs}.{norm}.{{q}}"))
        rows.append(row(f"{ours}.downsample.0.weight", f"{theirs}.downsample.0.weight"))
        rows.append(row(f"{ours}.downsample.1.{{q}}", f"{theirs}.downsample.1.{{q}}"))
    return tuple(rows)


class ClassyResNet(ResNetFamily):
    """Bottlenecks with the stride in the 3x3 convolution, as torchvision's."""

    method, rank = "unknown (layout Classy Vision)", 80
    licence = "unknown (the file does not name its method)"
    known = "unknown"
    layout = Layout("Classy Vision names", _rows(), sentinel="blocks.3.block3-0.convolutional_block.0.weight")
    drops = table({r"heads?\.": "classifier or projection head"})

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return True  # no other program has these names


FAMILIES = (ClassyResNet(),)
