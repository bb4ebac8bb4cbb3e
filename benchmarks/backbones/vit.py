"""The one vision transformer of the house: timm's, with the position rule of the checkpoint's card."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Attention, GluMlp, Mlp
from timm.models.vision_transformer import Block, VisionTransformer
from torch import nn

from benchmarks.backbones.rotary import RotaryAttention, RotaryBlock, RotaryPositions
from benchmarks.checkpoints.card import Architecture, ResizeRule
from benchmarks.errors import InputError

ACTIVATIONS: dict[str, Any] = {"gelu": nn.GELU, "gelu-tanh": partial(nn.GELU, approximate="tanh"), "silu": nn.SiLU}


def resize_position_table(table: torch.Tensor, old: int, new: tuple[int, int], rule: ResizeRule) -> torch.Tensor:
    """Resample patch positions ``[1, old*old, D]`` to ``[1, new_h*new_w, D]`` as the card's rule says.

    Done in fp32 and cast back. A table that is already on the asked grid is returned untouched.
    """
    if new == (old, old):
        return table
    grid = table.reshape(1, old, old, -1).permute(0, 3, 1, 2).float()
    # The offset reaches the resampler itself: it samples with this scale, not with new / old.
    scale = tuple((side + rule.offset) / old for side in new)
    how = {"scale_factor": scale} if rule.offset else {"size": new}
    grid = F.interpolate(grid, mode=rule.mode, align_corners=rule.align_corners, antialias=rule.antialias, **how)
    if grid.shape[-2:] != new:
        raise RuntimeError(f"position table came out as {tuple(grid.shape[-2:])}, expected {new}")
    return grid.permute(0, 2, 3, 1).reshape(1, new[0] * new[1], -1).to(table.dtype)


class HouseViT(VisionTransformer):
    """timm's :class:`VisionTransformer` that takes any image size and follows a card.

    It has timm's ``forward_features`` and ``forward_intermediates`` and timm's parameter names. Three
    things differ: the position table is resampled by the card's :class:`ResizeRule`, only the
    class token may have a row in it (registers never do, as in DINOv2), and DINOv3's rotary positions
    take its place where the card says so. Images ``[B, 3, H, W]`` need sides that are multiples of the
    patch size.
    """

    architecture: Architecture
    blocks: Any  # torch's hints know nothing of what is in a block
    pos_embed: nn.Parameter  # None with rotary positions

    def __init__(self, architecture: Any, resize: ResizeRule, drop_path_rate: float = 0.0) -> None:
        a = architecture
        if not isinstance(a, Architecture):
            raise InputError(f"this checkpoint is a {a.kind}, but a ViT is needed here")
        rotary = a.position == "rope"
        super().__init__(
            img_size=a.image_size,
            patch_size=a.patch_size,
            num_classes=0,
            global_pool="",
            embed_dim=a.embed_dim,
            depth=a.depth,
            num_heads=a.num_heads,
            qkv_bias=a.qkv_bias,
            qk_norm=a.qk_norm,
            init_values=1e-5 if a.layer_scale else None,
            class_token=a.class_token,
            pos_embed="none" if rotary else "learn",
            no_embed_class=True,
            reg_tokens=a.registers,
            final_norm=a.final_norm,
            dynamic_img_size=True,
            drop_path_rate=drop_path_rate,
            norm_layer=partial(nn.LayerNorm, eps=a.eps),
            mlp_layer=partial(_mlp, a),  # type: ignore[arg-type]  # timm takes whatever makes a module
            attn_layer=RotaryAttention if rotary else Attention,
            block_fn=RotaryBlock if rotary else Block,
        )
        self.architecture = architecture
        self.resize = resize
        self.rope = RotaryPositions(a.embed_dim // a.num_heads) if rotary else None
        if not rotary:
            rows = a.position_prefix_rows + a.grid**2
            self.pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, rows, a.embed_dim), std=0.02))

    def _pos_embed(self, x: torch.Tensor) -> torch.Tensor:
        """Patch tokens ``[B, h, w, D]`` -> ``[B, prefix + h*w, D]`` with positions and prefix tokens."""
        batch, height, width, _ = x.shape
        prefix_rows = self.architecture.position_prefix_rows
        if self.architecture.position == "rope":
            tokens = [x.flatten(1, 2)]
        else:
            table = resize_position_table(
                self.pos_embed[:, prefix_rows:], self.architecture.grid, (height, width), self.resize
            )
            tokens = [x.flatten(1, 2) + table]
        if self.reg_token is not None:
            tokens.insert(0, self.reg_token.expand(batch, -1, -1))
        if self.cls_token is not None:
            class_token = self.cls_token + self.pos_embed[:, :prefix_rows] if prefix_rows else self.cls_token
            tokens.insert(0, class_token.expand(batch, -1, -1))
        return self.pos_drop(torch.cat(tokens, dim=1))

    def _angles(self, images: torch.Tensor) -> torch.Tensor | None:
        """What the blocks of a rotary network need for ``images``; None for all others."""
        return None if self.rope is None else self.rope(*self.patch_embed.dynamic_feat_size(images.shape[-2:]))

    def forward_features(
        self, x: torch.Tensor, attn_mask: torch.Tensor | None = None, is_causal: bool = False
    ) -> torch.Tensor:
        """Images ``[B, 3, H, W]`` -> all tokens of the last block ``[B, prefix + h*w, D]`` after the final norm."""
        return super().forward_features(x, self._angles(x) if attn_mask is None else attn_mask, is_causal)

    def forward_intermediates(self, x: torch.Tensor, *args: Any, **options: Any) -> Any:
        """timm's contract: the maps of the chosen blocks; see :meth:`VisionTransformer.forward_intermediates`."""
        return super().forward_intermediates(x, *args, **{"attn_mask": self._angles(x), **options})

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute activations in the backward pass instead of keeping them."""
        super().set_grad_checkpointing(enable)
        for block in self.blocks if self.rope is not None else ():
            block.checkpointing = enable

    def patch_tokens(self, images: torch.Tensor) -> torch.Tensor:
        """Images ``[B, 3, H, W]`` -> patch tokens ``[B, h*w, D]`` of the last block after the final norm.

        Row-major over the token grid; class and register tokens are left out. A model without a
        final norm gives the raw output of its last block.
        """
        return self.forward_features(images)[:, self.num_prefix_tokens :]


def _mlp(a: Architecture, in_features: int, bias: bool = True, drop: float = 0.0, **_: object) -> nn.Module:
    """A block's MLP with exactly the card's hidden width: timm's own ratio of floats can be one short."""
    if a.mlp == "swiglu":
        return GluMlp(
            in_features, 2 * a.hidden, act_layer=ACTIVATIONS[a.activation], gate_last=False, bias=bias, drop=drop
        )
    return Mlp(in_features, a.hidden, act_layer=ACTIVATIONS[a.activation], bias=bias, drop=drop)
