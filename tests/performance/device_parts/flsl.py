"""FLSL's step in bf16 beside the published one in fp16, in turns; compiled and not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

from pretrain_step import OurStep, PlainStep, make_batch

from benchmarks.core.environment import device_text
from device_parts.book import Row, Size
from device_parts.flops import peak_of, step_flops
from device_parts.turns import device, host_waits, in_turns, peak_gib, ratio
from pretrain.config import Config, ModelConfig, ViewsConfig

MODELS = {
    "S/16": ModelConfig(),
    "S/8": ModelConfig(patch_size=8),
    "B/16": ModelConfig(embed_dim=768, num_heads=12),
}
TINY = Config(
    model=ModelConfig(embed_dim=32, depth=2, num_heads=2, patch_size=8, image_size=48, clusters=32,
                      head_hidden_dim=32, head_bottleneck_dim=16),
    views=ViewsConfig(local_size=24),
)  # fmt: skip
#: torch.compile's mode by row: CUDA graphs are a trial, no option of the product.
MODES = {"graphs": "reduce-overhead"}
#: Images of a step: a GPU's share of the recipe.
BATCH = 64


def steps(name: str, size: Size) -> Iterator[Row]:
    """A row plain, one with ``torch.compile`` and one with CUDA graphs; ratios: the published step's time over ours."""
    config, images, repeats = (TINY, 2, 2) if size.tiny else (Config(model=MODELS[name]), BATCH, 10)
    plain = 0.0
    for encoders in ("plain", "compiled", "graphs"):
        # With --tiny the row is made, but not by a compiler, which would take half a minute.
        found = _both(config, images, repeats, "plain" if size.tiny else encoders, size.peak_tflops)
        plain = found["third_loss_ratio"] if encoders == "plain" else plain
        found["third_loss_ratio"] = ratio(found["third_loss_ratio"], plain)
        yield {"model": "tiny" if size.tiny else name, **found}


def _both(config: Config, images: int, repeats: int, encoders: str, peak_tflops: float | None) -> Row:
    where, begun = device(), time.monotonic()
    batch = make_batch(config, images).to(where)
    ours = partial(OurStep(config, "bf16", encoders != "plain", where, MODES.get(encoders)), batch)
    losses = [ours() for _ in range(3)]  # compiled by the first, recorded as graphs by the second
    first = time.monotonic() - begun
    waits = host_waits(ours, where)
    own_gib = peak_gib(ours, where)
    published = partial(PlainStep(config, ours.func.work.student, "fp16"), batch)
    published_gib = peak_gib(published, where)
    medians = in_turns({"ours": ours, "published": published}, repeats, where)
    flops, peak = step_flops(config, images), peak_of(device_text(str(where)), peak_tflops)
    reached = flops / medians["ours"] / 1e9
    return {
        "encoders": encoders,
        "ours": "bf16",
        "published": "rebuilt from its equations, fp16 with loss scaling",
        "batch_images": images,
        "repeats_count": repeats,
        "published_over_ours_ratio": ratio(medians["published"], medians["ours"]),
        "ours_step_ms": medians["ours"],
        "published_step_ms": medians["published"],
        "ours_images_per_s": round(1000 * images / medians["ours"], 2),
        "published_images_per_s": round(1000 * images / medians["published"], 2),
        "step_gflop": round(flops / 1e9, 4),
        "ours_tflops": round(reached, 4),
        "peak_tflops": peak,
        "ours_mfu_percent": None if peak is None else round(100 * reached / peak, 2),
        "ours_peak_gib": own_gib,
        "published_beside_ours_peak_gib": published_gib,
        "ours_host_waits_count": waits,
        "making_and_first_steps_s": round(first, 2),
        "third_loss_ratio": losses[-1],
    }
