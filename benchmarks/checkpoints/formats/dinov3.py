"""DINOv3 (facebookresearch/dinov3): rotary positions, storage tokens, a masked key bias.

The number of heads follows from the periods, which the file holds. The bias that acts is ``bias * bias_mask``; the mask
is folded in. Its norm has eps 1e-5. ``local_cls_norm`` and ``cls_norm`` never touch a patch token.
"""

from __future__ import annotations

import torch

from benchmarks.checkpoints.container import Opened
from benchmarks.checkpoints.formats.dinov2 import PLACES, drop_chunks
from benchmarks.checkpoints.formats.family import Facts, Family, Taken, table
from benchmarks.errors import InputError

SATELLITE_MEAN, SATELLITE_STD = (0.430, 0.411, 0.296), (0.213, 0.156, 0.143)
MASK = ".attn.qkv.bias_mask"


class DinoV3(Family):
    method, licence, rank = "DINOv3", "DINOv3 License", 12
    places = PLACES
    eps = 1e-5
    drops = table(
        {
            r"mask_token$": "mask token",
            r"local_cls_norm\.": "norm of local class tokens in training",
            r"cls_norm\.": "norm of class and storage tokens alone",
            r"(?:dino|ibot|gram)_head\.": "projection head",
            r"head\.": "classifier",
        }
    )

    def recognises(self, opened: Opened, taken: Taken) -> bool:
        return "rope_embed.periods" in taken.tensors

    def prepare(self, opened: Opened, taken: Taken) -> None:
        drop_chunks(taken)
        for name in [name for name in taken.tensors if name.endswith(MASK)]:
            bias = name.removesuffix("_mask")
            mask, tensor = taken.tensors.pop(name), taken.tensors.get(bias)
            if tensor is None or tensor.shape != mask.shape:
                raise InputError(f"{taken.source_names[name]} has no bias of its shape to mask")
            if not torch.isfinite(mask).all():
                raise InputError(f"{taken.source_names[name]} is not finite: the file was saved before initialisation")
            taken.tensors[bias] = tensor * mask.to(tensor.dtype)
            taken.folded[name] = bias

    def facts(self, opened: Opened, taken: Taken) -> Facts:
        facts = super().facts(opened, taken)
        if not any("_head." in name for name in taken.source_names):
            facts.provenance["method"] = "layout"
        width = taken.tensors["patch_embed.proj.weight"].shape[0]
        periods = taken.tensors["rope_embed.periods"]
        if periods.ndim != 1 or not len(periods) or width % (4 * len(periods)):
            raise InputError(f"rotary periods of shape {list(periods.shape)} do not fit the width {width}")
        facts.learn("file", heads=width // (4 * len(periods)))
        patch = taken.tensors["patch_embed.proj.weight"].shape[-1]
        facts.learn("table", image_size=max(224 // patch, 1) * patch)
        if "local_cls_norm.weight" in taken.tensors:
            if width == 1024:  # the ViT-L on satellite images has it, the one on web images has not
                facts.learn("table", mean=SATELLITE_MEAN, std=SATELLITE_STD)
            taken.notes.append(
                "satellite weights want mean 0.430 0.411 0.296 and std 0.213 0.156 0.143; web weights ImageNet's"
            )
        return facts


FAMILIES = (DinoV3(),)
