"""Operations of one FLSL step by arithmetic, and what devices say of themselves: together the utilisation (MFU)."""

from __future__ import annotations

from itertools import pairwise

from pretrain.config import Config

#: Dense bf16 TFLOP/s of the makers' data sheets, by a part of the name that CUDA gives; the first match counts.
PEAK_TFLOPS = {
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.4,
    "H200": 989.4,
    "B200": 2250.0,
    "A100": 312.0,
    "A40": 149.7,
    "A10": 125.0,
    "L40S": 362.0,
    "L4": 121.0,
    "RTX 4090": 165.2,
    "RTX 3090": 71.0,
}


def peak_of(name: str, given: float | None) -> float | None:
    """TFLOP/s of a device's matrix units in bf16; None where nobody says."""
    return given or next((peak for part, peak in PEAK_TFLOPS.items() if part in name), None)


def step_flops(config: Config, images: int) -> int:
    """Operations (a multiplication and an addition are two) of a step's matrix products, forward and backward.

    What the equations need: nothing that is computed again, for want of memory or otherwise, counts. A trained product
    costs three times its forward pass, the first layer's two times (no gradient of pixels), the teacher's once.
    """
    model, views = config.model, config.views
    width, patch = model.embed_dim, model.patch_size
    globals_ = (1, model.image_size // patch, views.global_window)
    locals_ = (views.local_views, views.local_size // patch, views.local_window)
    points = globals_[1] ** 2

    def encoder(tokens: int) -> tuple[int, int]:
        """The first layer, and the blocks, of one view."""
        first = 2 * tokens * 3 * patch**2 * width
        return first, model.depth * (24 * tokens * width**2 + 4 * tokens**2 * width)

    def head(rows: int) -> int:
        sizes = (width, model.head_hidden_dim, model.head_hidden_dim, model.head_bottleneck_dim, model.clusters)
        return 2 * rows * sum(a * b for a, b in pairwise(sizes))

    total = sum(encoder(points))  # the teacher's view
    for count, side, window in (globals_, locals_):
        tokens, queries = side**2, (side // window) ** 2
        first, blocks = encoder(tokens)
        own, found = 4 * queries * tokens * width, 4 * queries * points * width
        total += count * (2 * first + 3 * (blocks + own + head(queries)) + found + head(queries))
    return images * total
