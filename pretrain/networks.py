"""Student and teacher: a ViT without class token and a projection head, named as the published code names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block
from torch import nn
from torch.utils.checkpoint import checkpoint

from benchmarks.backbones.positions import sincos_mae
from benchmarks.backbones.vit import HouseViT
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture
from pretrain.config import ModelConfig
from pretrain.meanshift import mean_shift, project_positions, retrieve_positives, select_queries


class UnitNormLinear(nn.Module):
    """A bias-free linear layer with weight normalisation: rows ``weight_g * weight_v / |weight_v|``.

    The rows are the ``K`` cluster centroids. ``weight_g`` stays at one unless ``learn_norm``.
    """

    def __init__(self, in_features: int, out_features: int, learn_norm: bool) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(out_features, 1), requires_grad=learn_norm)
        self.weight_v = nn.Parameter(nn.Linear(in_features, out_features, bias=False).weight.detach())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.weight_g * self.weight_v / self.weight_v.norm(dim=1, keepdim=True))


class Head(nn.Module):
    """DINO's projection head: three-layer MLP, unit length, logits over ``K`` clusters. ``[..., D] -> [..., K]``."""

    def __init__(self, in_dim: int, clusters: int, hidden_dim: int, bottleneck_dim: int, learn_norm: bool) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(in_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, hidden_dim),
            nn.GELU(),
            nn.Linear(hidden_dim, bottleneck_dim),
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        self.last_layer = UnitNormLinear(bottleneck_dim, clusters, learn_norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last_layer(F.normalize(self.mlp(x), dim=-1))


class Clustered(NamedTuple):
    """What the student makes of its views: queries and modes ``[M, D]``, logits ``[M, K]``, queries by view size."""

    tokens: torch.Tensor
    modes: torch.Tensor
    logits: torch.Tensor
    groups: list[torch.Tensor]  # one [V*B, Q, D] for each view size, for the teacher to answer


class Network(nn.Module):
    """A ViT with FLSL's head. The same class is student and teacher; parameter names are the published ones."""

    def __init__(self, config: ModelConfig, drop_path: float = 0.0, checkpointing: bool = False) -> None:
        super().__init__()
        architecture = Architecture(
            embed_dim=config.embed_dim,
            depth=config.depth,
            num_heads=config.num_heads,
            patch_size=config.patch_size,
            image_size=config.image_size,
            final_norm=config.final_norm == "tokens",
            position="sincos-mae" if config.fixed_positions else "learned",
            class_token=config.class_token,
            position_prefix_rows=int(config.class_token),
        )
        self.backbone = HouseViT(architecture, DINO_RESIZE)
        if config.fixed_positions:
            self.backbone.pos_embed.data.zero_()  # a class token's row stays so, as MAE's
            self.backbone.pos_embed.data[:, int(config.class_token) :] = config.position_scale * sincos_mae(
                architecture.embed_dim, architecture.grid
            )
            self.backbone.pos_embed.requires_grad_(False)
        self.head = Head(
            config.embed_dim,
            config.clusters,
            config.head_hidden_dim,
            config.head_bottleneck_dim,
            learn_norm=not config.unit_centroids,
        )
        self.norm = nn.LayerNorm(config.embed_dim, eps=architecture.eps) if config.final_norm == "modes" else None
        #: How likely each block's branches are kept: stochastic depth that grows linearly with the depth.
        self.keep = [1.0 - drop_path * i / max(1, config.depth - 1) for i in range(config.depth)]
        self.checkpointing, self.position_dropout = checkpointing, config.position_dropout

    def encode(self, images: torch.Tensor, draws: torch.Tensor | None = None) -> torch.Tensor:
        """Images ``[R, 3, H, W]`` -> patch tokens ``[R, N, D]``; ``draws`` as in :meth:`encode_all`."""
        return self.encode_all(images, draws)[:, self.backbone.num_prefix_tokens :]

    def encode_all(self, images: torch.Tensor, draws: torch.Tensor | None = None) -> torch.Tensor:
        """Images ``[R, 3, H, W]`` -> all tokens ``[R, N, D]``, a class token first where there is one.

        ``draws`` ``[R, depth, 2]``: uniform numbers that decide which residual branches each image drops; they come
        with the data, so that a run is the same however it is split. None: nothing is dropped. The first block never
        drops any, so its first number decides whether the image goes without its position code.
        """
        vit = self.backbone
        if draws is None and not self.checkpointing:
            return vit.forward_features(images)
        patches = vit.patch_embed(images)
        x = vit._pos_embed(patches)
        if draws is not None and self.position_dropout:
            bare = (draws[:, 0, 0] < self.position_dropout)[:, None, None]
            prefix = vit.num_prefix_tokens
            x = torch.cat([x[:, :prefix], torch.where(bare, patches.flatten(1, 2), x[:, prefix:])], dim=1)
        x = vit.norm_pre(x)
        for index, (block, keep) in enumerate(zip(vit.blocks, self.keep, strict=True)):
            scales = None if draws is None or keep == 1.0 else (keep + draws[:, index]).floor() / keep
            if self.checkpointing and torch.is_grad_enabled():
                x = checkpoint(run_block, block, x, scales, use_reentrant=False, preserve_rng_state=False)
            else:
                x = run_block(block, x, scales)
        return vit.norm(x)

    def logits(self, modes: torch.Tensor) -> torch.Tensor:
        """Modes ``[..., D]`` -> cluster logits ``[..., K]``."""
        return self.head(modes if self.norm is None else self.norm(modes))

    def forward(
        self,
        views: list[torch.Tensor],
        queries: list[torch.Tensor],
        sa_temperature: float,
        draws: Sequence[torch.Tensor | None] | None = None,
    ) -> Clustered:
        """Encode views, sample queries and find their modes (Eq. 4); everything that needs a gradient is in here.

        ``views``, ``queries`` and ``draws`` as in :class:`pretrain.data.Batch`. One forward of the wrapped module
        means that distributed training sees every gradient.
        """
        groups, modes = [], []
        for images, chosen, numbers in zip(views, queries, draws or [None] * len(views), strict=True):
            tokens = self.encode(images, numbers)
            group = select_queries(tokens, chosen)
            groups.append(group)
            modes.append(mean_shift(group, tokens, sa_temperature).flatten(0, 1))
        all_modes = torch.cat(modes)
        return Clustered(
            tokens=torch.cat([group.flatten(0, 1) for group in groups]),
            modes=all_modes,
            logits=self.logits(all_modes),
            groups=groups,
        )

    @torch.no_grad()
    def places(self, side: int) -> torch.Tensor:
        """What the tokens of a grey image of ``side`` pixels are, ``[1, N, D]``: nearly the position code alone."""
        weight = self.backbone.patch_embed.proj.weight
        return self.encode(weight.new_zeros(1, 3, side, side))

    @torch.no_grad()
    def answer(
        self,
        images: torch.Tensor,
        groups: list[torch.Tensor],
        ca_temperature: float,
        other_attention: Sequence[torch.Tensor | None] | None = None,
        own_share: float = 1.0,
        centred: bool = False,
    ) -> torch.Tensor:
        """The teacher's part: positives of the student's queries in the teacher view (Eq. 12) -> logits ``[M, K]``.

        With ``centred`` the queries come without their places, and are compared with tokens without theirs.
        """
        tokens = self.encode(images)
        keys = tokens - self.places(images.shape[-1]) if centred else tokens
        positives = [
            retrieve_positives(group.detach(), tokens, ca_temperature, attention, own_share, keys).flatten(0, 1)
            for group, attention in zip(groups, other_attention or [None] * len(groups), strict=True)
        ]
        return self.logits(torch.cat(positives))

    @torch.no_grad()
    def answer_in_place(
        self,
        images: torch.Tensor,
        views: list[torch.Tensor],
        queries: list[torch.Tensor],
        boxes: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """As :meth:`answer`, with the positives at the queries' projected positions instead of retrieved ones."""
        tokens, patch = self.encode(images), self.backbone.architecture.patch_size
        positives = [
            project_positions(chosen, box, tokens, view.shape[-1] // patch).flatten(0, 1)
            for view, chosen, box in zip(views, queries, boxes, strict=True)
        ]
        return self.logits(torch.cat(positives))


def choose_attention(student: Network, device: torch.device, precision: str) -> None:
    """Have the student's blocks make their attention in full where that is faster: in half precision on a CPU.

    There the fused kernel's backward pass takes twice as long as the two products it saves (bf16, 16 x 6 x 196 x 64:
    49 ms against 26 on one core with AMX; in fp32 41 against 46). The mean-shift attentions are small and stay fused.
    """
    if device.type == "cpu" and precision != "fp32":
        for block in student.backbone.blocks:
            block.attn.fused_attn = False


def run_block(block: Block, x: torch.Tensor, scales: torch.Tensor | None) -> torch.Tensor:
    """One transformer block on ``[R, N, D]``; ``scales`` ``[R, 2]`` multiplies its attention and its MLP branch."""
    if scales is None:
        return block(x)
    attention, mlp = scales[:, :, None, None].unbind(1)
    x = torch.addcmul(x, attention, block.ls1(block.attn(block.norm1(x))))
    return torch.addcmul(x, mlp, block.ls2(block.mlp(block.norm2(x))))


@torch.no_grad()
def update_teacher(teacher: Network, student: Network, momentum: float) -> None:
    """Exponential moving average over every parameter: ``teacher = m * teacher + (1 - m) * student``."""
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1.0 - momentum)
