"""ViTDet's learning rates and weight decays, parameter by parameter, as data that both engines take."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

#: What is below the first block: the first two in detectron2, the others in DINOv3.
BOTTOM = (".pos_embed", ".patch_embed", ".cls_token", ".reg_token")


def lr_factor(name: str, depth: int, rate: float) -> float:
    """ViTDet's factor for a parameter of the detector: ``rate`` once for each layer above it.

    Positions, patch embedding, class token and registers are layer 0, block ``i`` is layer ``i + 1``, everything else
    is ``depth + 1``. Source: facebookresearch/detectron2, ``get_vit_lr_decay_rate``, whose ViT has no tokens but
    patches; for these facebookresearch/dinov3, ``train/param_groups.py``.
    """
    layer = depth + 1
    if name.startswith("backbone."):
        if any(part in name for part in BOTTOM):
            layer = 0
        elif ".blocks." in name:
            layer = int(name.split(".blocks.")[1].split(".")[0]) + 1
    return rate ** (depth + 1 - layer)


def parameter_settings(
    model: nn.Module, depth: int, rate: float, all_decay: bool = False
) -> Iterator[tuple[str, nn.Parameter, float, bool]]:
    """Every trained parameter once: its name, itself, its learning rate's factor, whether its weight decays.

    torch's norms and the position table do not decay; biases, relative positions and channel norms do, as in
    detectron2, whose rule goes by type. ``all_decay``: everything does, as in its config for ViT-H.
    """
    norms = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
    seen: set[nn.Parameter] = set()
    for prefix, module in model.named_modules():
        for own, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                name = f"{prefix}.{own}" if prefix else own
                spared = isinstance(module, norms) or own == "pos_embed"
                yield name, parameter, lr_factor(name, depth, rate), all_decay or not spared
