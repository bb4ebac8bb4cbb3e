"""Layouts that are known and not converted, each with the reason why no target here can hold it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchmarks.checkpoints.formats.family import Refusal

START = r"(?:^|.*[./])"  # any container and prefix


class ByName(Refusal):
    """Recognised by tensor names that match every pattern, or by the ``model_type`` of config.json."""

    def __init__(
        self, method: str, reason: str, *patterns: str, model_types: tuple[str, ...] = (), rank: int = 0
    ) -> None:
        self.method, self.reason, self.rank = method, reason, rank
        self.patterns = [re.compile(START + pattern) for pattern in patterns]
        self.model_types = model_types

    def recognises(self, names: set[str], config: Mapping[str, Any]) -> bool:
        if config.get("model_type") in self.model_types:
            return True
        return bool(self.patterns) and all(any(p.match(name) for name in names) for p in self.patterns)


FAMILIES = (
    ByName(
        "CAPI",
        "its blocks are RMSNorm and RoPE of another layout, without biases and with a final norm without weights",
        r"blocks\.\d+\.residual1\.",
    ),
    ByName(
        "data2vec 2.0",
        "its blocks norm after the residual sum (post-norm) and there is no final norm: equal names, another network",
        r"modality_encoders\.IMAGE\.",
    ),
    ByName(
        "BEiT or data2vec 1",
        "it has relative position biases in every attention and no position table, which no target here has",
        r"(?:rel_pos_bias\.|(?<!\d\.)blocks\.\d+\.attn\.)relative_position_bias",
        model_types=("beit", "data2vec-vision"),
        rank=1,
    ),
    ByName(
        "Swin v2",
        "its windows attend by cosine and have computed positions, which has not been compared here",
        r"layers\.\d+\.blocks\.\d+\.attn\.cpb_mlp\.",
        model_types=("swinv2",),
    ),
    ByName(
        "Swin of OpenMMLab",
        "its merging orders channels in another way: give the weights in Swin's own names or timm's",
        r"(?:stages|layers)\.\d+\.blocks\.\d+\.attn\.w_msa",
    ),
    ByName(
        "XCiT",
        "it attends over channels and mixes neighbours by convolution (local_mp)",
        r"blocks\.\d+\.local_mp\.",
    ),
    ByName(
        "ConvNeXt of timm or OpenMMLab without its configuration",
        "the eps of its norms and the place of the last one are in no tensor: give timm's folder with config.json, or "
        "timm's name of the network with --architecture",
        r"stages\.\d+\.(?:blocks\.)?\d+\.(?:conv_dw|depthwise_conv)\.",
    ),
    ByName(
        "a ViT with a convolutional stem (MoCo-v3 vit_conv_*, MSN vitc)",
        "its patches come from a stack of convolutions, and detectors here expect one",
        r"patch_embed\.(?:proj\.|projection\.)?\d+\.(?:weight|0\.weight)|.*conv_?stem\.",
    ),
)
