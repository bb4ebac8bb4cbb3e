"""Tiny random networks and the files that each method's programs would write them into."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from benchmarks.checkpoints.card import Architecture, ResNetArchitecture
from benchmarks.checkpoints.formats import layouts, openmmlab, torchvision
from benchmarks.checkpoints.positions import rope_periods, sincos_mae
from benchmarks.checkpoints.shapes import tensor_shapes
from benchmarks.checkpoints.targets import spell

VIT = Architecture(24, 2, 6, 8, 48, class_token=True, position_prefix_rows=1)
NO_CLASS = dataclasses.replace(VIT, class_token=False, position_prefix_rows=0)
DINOV2 = dataclasses.replace(VIT, layer_scale=True)
GATED = dataclasses.replace(DINOV2, mlp="swiglu", activation="silu", mlp_hidden=64)
DINOV3 = dataclasses.replace(
    VIT, layer_scale=True, registers=4, position="rope", position_prefix_rows=0, eps=1e-5, image_size=224
)
RESNET = ResNetArchitecture(16, (1, 2, 1, 1), (2, 4, 8, 16), (8, 16, 32, 64))
RESNET_BASIC = ResNetArchitecture(8, (2, 2, 1, 1), (8, 16, 32, 64), (8, 16, 32, 64), block="basic")

Tensors = dict[str, torch.Tensor]


def random_tensors(architecture: Architecture | ResNetArchitecture, seed: int = 0) -> Tensors:
    """Values that are far from an initialisation: norms and scales around 1, biases that matter."""
    rng = torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    for name, shape in tensor_shapes(architecture).items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = torch.tensor(7)
        elif name == "rope.periods":
            tensors[name] = rope_periods(100.0, architecture.embed_dim // architecture.num_heads)
        elif len(shape) > 1 and "token" not in name and name != "pos_embed":
            fan_in = torch.Size(shape[1:]).numel()
            tensors[name] = torch.randn(shape, generator=rng) / fan_in**0.5
        elif "norm" in name or "bn" in name or name.endswith(("gamma", "running_var")):
            tensors[name] = torch.rand(shape, generator=rng) + 0.5
        else:
            tensors[name] = torch.randn(shape, generator=rng) * 0.3
    return tensors


def renamed(tensors: Tensors, **changes: str) -> Tensors:
    """Replace parts of names: ``fc1="w12"``."""
    for old, new in changes.items():
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    return tensors


def under(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def other(tensors: Tensors) -> Tensors:
    """Another branch: the same names, other values."""
    return {name: tensor * 0 for name, tensor in tensors.items()}


#: As timm's trainer saves them; six heads are in the architecture's name alone.
TIMM_ARGS = argparse.Namespace(model_kwargs={"embed_dim": 24, "depth": 2, "patch_size": 8}, img_size=48)
HEAD = {"head.mlp.0.weight": torch.ones(2, 2), "head.last_layer.weight_g": torch.ones(2, 1)}
ARGS = argparse.Namespace(arch="vit_small", patch_size=8)


def dino_file(tensors: Tensors, head: Tensors = HEAD, loss: str = "dino_loss", **more: Any) -> dict[str, Any]:
    """A training file as DINO and its descendants write it."""
    teacher = under("backbone.", tensors) | head
    student = under("module.backbone.", other(tensors)) | under("module.", head)
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}
    return {
        "student": student,
        "teacher": teacher,
        "optimizer": optimizer,
        "epoch": 1,
        "args": ARGS,
        loss: {"center": torch.zeros(1, 2)},
    } | more


def yacs_config() -> Any:
    """A yacs CfgNode, of a module that is gone again when the file is read."""
    module = types.ModuleType("yacs_stand_in")

    class CfgNode(dict):
        pass

    CfgNode.__module__, CfgNode.__qualname__ = "yacs_stand_in", "CfgNode"
    module.CfgNode = CfgNode
    sys.modules["yacs_stand_in"] = module
    return CfgNode(MODEL=CfgNode(TYPE="moby", MOBY=CfgNode(ENCODER="deit_small")))


def numbered(tensors: Tensors) -> Tensors:
    """A ResNet as ``nn.Sequential`` of its children."""
    return under("encoder.", spell(layouts.RESNET_SEQUENTIAL, tensors))


def fixed_table(tensors: Tensors, prefix: int, swapped: bool = False) -> Tensors:
    table = sincos_mae(24, 6).roll(12 if swapped else 0, dims=2)
    return tensors | {"pos_embed": torch.cat([torch.zeros(1, prefix, 24), table], dim=1)}


def dinov3_file(tensors: Tensors) -> Tensors:
    """With a key bias that the mask takes away; the masked bias is the tensor that the network sees."""
    tensors = renamed(tensors, reg_token="storage_tokens", **{"rope.": "rope_embed."})
    for name in [name for name in tensors if name.endswith("qkv.bias")]:
        mask = torch.cat([torch.ones(24), torch.zeros(24), torch.ones(24)])
        tensors[name.replace("bias", "bias_mask")] = mask
        tensors[name] = tensors[name] + (1 - mask) * 5
    return tensors | {"mask_token": torch.zeros(1, 24), "local_cls_norm.weight": torch.ones(24)}


def chunked(tensors: Tensors) -> Tensors:
    return {name.replace("blocks.", f"blocks.{name.split('.')[1]}.") if "blocks" in name else name: tensor
            for name, tensor in tensors.items()}  # fmt: skip


class Case(NamedTuple):
    """A file: the network in it, how it is written, what the conversion must say."""

    architecture: Architecture | ResNetArchitecture
    write: Callable[[Tensors], Any]
    method: str
    heads: int | None = None  # given on the command line; None: the file tells
    values: Callable[[Tensors], Tensors] = dict  # changes to the random values that the method's files have


def without_key_bias(tensors: Tensors) -> Tensors:
    for name in [name for name in tensors if name.endswith("qkv.bias")]:
        tensors[name] = tensors[name] * torch.cat([torch.ones(24), torch.zeros(24), torch.ones(24)])
    return tensors


MM_CONFIG = (
    "model = dict(\n    backbone=dict(type='VisionTransformer', num_heads=6, norm_cfg=dict(type='LN', eps=1e-6)),\n"
    "    head=dict(type='X', num_heads=3))\n"
)
MM_META = {"cfg": MM_CONFIG, "seed": 0}
DINO_HEADS = {"dino_head.mlp.0.weight": torch.ones(2, 2), "ibot_head.mlp.0.weight": torch.ones(2, 2)}
RESNET_HEAD = {"fc.weight": torch.ones(2, 64), "fc.bias": torch.ones(2)}
TRUNK = "classy_state_dict"

CASES: dict[str, Case] = {
    "dino": Case(VIT, lambda t: t, "unknown (layout DINO)", 6),
    "dino_full": Case(VIT, dino_file, "DINO"),
    "ibot": Case(VIT, lambda t: {"state_dict": t}, "unknown (layout iBOT)", 6),
    "ibot_student": Case(VIT, lambda t: {"state_dict": t | {"masked_embed": torch.zeros(1, 24)}}, "iBOT", 6),
    "ibot_full": Case(
        DINOV2,
        lambda t: dino_file(renamed(t, **{"ls1.gamma": "gamma_1", "ls2.gamma": "gamma_2"}), loss="ibot_loss"),
        "iBOT",
    ),
    "selfpatch": Case(
        dataclasses.replace(NO_CLASS, final_norm=False),
        lambda t: dino_file(t, {"ca_head.cls_token": torch.ones(1, 1, 24), "c_head.mlp.0.weight": torch.ones(2, 2)}),
        "SelfPatch",
    ),
    "cribo": Case(
        VIT,
        lambda t: dino_file(
            t, centroids_queue_cpu=torch.ones(2), cls_queue_cpu=torch.ones(2), cpv_queue_cpu=torch.ones(2)
        ),
        "CrIBo",
    ),
    "flsl": Case(
        NO_CLASS,
        lambda t: dino_file(t | {"cls_token": torch.ones(1, 1, 24)}, loss="flsl_loss"),
        "FLSL",
        values=lambda t: fixed_table(t, 0),
    ),
    "flsl_learned": Case(NO_CLASS, lambda t: dino_file(t, loss="flsl_loss"), "FLSL"),
    "flsl_bare": Case(
        NO_CLASS, lambda t: t | {"cls_token": torch.ones(1, 1, 24)}, "FLSL", 6, values=lambda t: fixed_table(t, 0)
    ),
    "vissl": Case(
        VIT,
        lambda t: {
            TRUNK: {"base_model": {"model": {"trunk": t, "heads": {"0.clf.weight": torch.ones(2)}}}, "loss": {}}
        },
        "unknown (layout VISSL)",
        6,
    ),
    "mocov3": Case(
        dataclasses.replace(VIT, num_heads=12),
        lambda t: {
            "epoch": 1,
            "arch": "vit_small",
            "state_dict": under("module.base_encoder.", t | {"head.0.weight": torch.ones(2)})
            | under("module.momentum_encoder.", other(t))
            | {"module.predictor.0.weight": torch.ones(2)},
            "optimizer": {},
        },
        "MoCo-v3",
        values=lambda t: fixed_table(t, 1, swapped=True),
    ),
    "moby": Case(
        VIT,
        lambda t: {
            "model": under("encoder.", t)
            | under("encoder_k.", other(t))
            | {
                "projector.linear.weight": torch.ones(2),
                "predictor.linear.weight": torch.ones(2),
                "queue1": torch.ones(2),
            },
            "config": yacs_config(),
        },
        "MoBY",
    ),
    "msn": Case(
        VIT,
        lambda t: {
            "target_encoder": under("module.", t | {"fc.fc1.weight": torch.ones(2)}),
            "encoder": under("module.", other(t) | {"pred.0.weight": torch.ones(2)}),
            "prototypes": torch.ones(2, 2),
            "epoch": 1,
        },
        "MSN",
        6,
    ),
    "ijepa": Case(
        NO_CLASS,
        lambda t: {
            "target_encoder": under("module.", t),
            "encoder": under("module.", other(t)),
            "predictor": {"module.predictor_pos_embed": torch.ones(1, 36, 8), "module.mask_token": torch.ones(1, 1, 8)},
            "opt": {},
            "scaler": None,
            "epoch": 3,
        },
        "I-JEPA",
        6,
        values=lambda t: fixed_table(t, 0),
    ),
    "mae": Case(VIT, lambda t: {"model": t}, "MAE", 6, values=lambda t: fixed_table(t, 1)),
    "mae_full": Case(
        dataclasses.replace(VIT, num_heads=12),
        lambda t: {
            "model": t | {"decoder_embed.weight": torch.ones(2), "mask_token": torch.ones(1, 1, 8)},
            "args": argparse.Namespace(model="mae_vit_base_patch16"),
        },
        "MAE",
        values=lambda t: fixed_table(t, 1),
    ),
    "dinov2": Case(DINOV2, lambda t: t | {"mask_token": torch.zeros(1, 24)}, "DINOv2", 6),
    "dinov2_registers": Case(
        dataclasses.replace(DINOV2, registers=4),
        lambda t: renamed(t, reg_token="register_tokens") | {"mask_token": torch.zeros(1, 24)},
        "DINOv2",
        6,
    ),
    "dinov2_giant": Case(
        GATED,
        lambda t: renamed(t, **{"mlp.fc1": "mlp.w12", "mlp.fc2": "mlp.w3"}) | {"mask_token": torch.zeros(1, 24)},
        "DINOv2",
        6,
    ),
    "dinov2_chunks": Case(DINOV2, lambda t: {"teacher": under("backbone.", chunked(t)) | DINO_HEADS}, "DINOv2", 6),
    "franca": Case(
        GATED,
        lambda t: {
            "teacher": under("backbone.", chunked(renamed(t, **{"mlp.fc1": "mlp.w12", "mlp.fc2": "mlp.w3"})))
            | DINO_HEADS
        },
        "Franca",
        6,
    ),
    "timet": Case(
        VIT,
        lambda t: (
            under("feature_extractor.backbone.", t)
            | {"prototypes": torch.ones(2, 2), "feature_extractor.head.0.weight": torch.ones(2)}
        ),
        "TimeT",
        6,
    ),
    "dinov3": Case(DINOV3, dinov3_file, "DINOv3", values=without_key_bias),
    "timm": Case(
        VIT, lambda t: t | {"head.weight": torch.ones(2, 24), "head.bias": torch.ones(2)}, "unknown (layout timm)", 6
    ),
    "timm_trainer": Case(
        VIT,
        lambda t: {"arch": "vit_small_patch16_224", "state_dict": t, "epoch": 1, "args": TIMM_ARGS},
        "unknown (layout timm)",
    ),
    "deit": Case(VIT, lambda t: {"model": t}, "unknown (layout DeiT)", 6),
    "torchvision": Case(
        VIT,
        lambda t: spell(torchvision.VIT, t) | {"heads.head.weight": torch.ones(2, 24)},
        "unknown (layout torchvision ViT)",
        6,
    ),
    "mmpretrain": Case(
        DINOV2,
        lambda t: {
            "meta": MM_META,
            "state_dict": under("backbone.", spell(openmmlab.MMPRETRAIN, t)) | {"head.fc.weight": torch.ones(2)},
        },
        "unknown (layout mmpretrain)",
    ),
    "mmseg": Case(
        dataclasses.replace(VIT, final_norm=False),
        lambda t: {
            "meta": MM_META,
            "state_dict": under("backbone.", spell(openmmlab.MMSEG, t))
            | {"decode_head.conv_seg.weight": torch.ones(2)},
        },
        "unknown (layout mmseg)",
    ),
    "vitdet": Case(
        dataclasses.replace(VIT, class_token=False, final_norm=False),
        lambda t: {
            "model": under("backbone.net.", t)
            | {"backbone.simfp_2.0.weight": torch.ones(2), "roi_heads.box_predictor.cls_score.weight": torch.ones(2)},
            "iteration": 3,
        },
        "unknown (layout ViTDet)",
        6,
    ),
    "resnet_torchvision": Case(RESNET, lambda t: t | RESNET_HEAD, "unknown (layout torchvision ResNet)"),
    "resnet_basic": Case(
        RESNET_BASIC, lambda t: {"state_dict": t | RESNET_HEAD}, "unknown (layout torchvision ResNet)"
    ),
    "resnet_dino": Case(RESNET, lambda t: dino_file(t), "DINO ResNet"),
    "resnet_moco": Case(
        RESNET,
        lambda t: {
            "arch": "resnet50",
            "state_dict": under("module.encoder_q.", t | RESNET_HEAD)
            | under("module.encoder_k.", other(t))
            | {"module.queue": torch.ones(2, 2)},
        },
        "MoCo",
    ),
    "resnet_mocov3": Case(
        RESNET,
        lambda t: {
            "state_dict": under("module.base_encoder.", t | RESNET_HEAD) | {"module.predictor.0.weight": torch.ones(2)}
        },
        "MoCo-v3 ResNet",
    ),
    "resnet_densecl": Case(RESNET, lambda t: {"state_dict": t, "author": "DenseCL"}, "DenseCL"),
    "resnet_densecl_raw": Case(
        RESNET,
        lambda t: {
            "state_dict": under("backbone.", t)
            | under("encoder_q.0.", t)
            | under("encoder_k.0.", other(t))
            | {"encoder_q.1.mlp.0.weight": torch.ones(2), "queue2": torch.ones(2)}
        },
        "DenseCL",
    ),
    "resnet_scrl": Case(
        RESNET,
        lambda t: {
            "online_network_state_dict": numbered(t) | {"projector.linear1.weight": torch.ones(2)},
            "target_network_state_dict": other(numbered(t)),
            "predictor_state_dict": {"linear1.weight": torch.ones(2)},
        },
        "SCRL or BYOL (kakaobrain)",
    ),
    "resnet_vissl": Case(
        RESNET,
        lambda t: {TRUNK: {"base_model": {"model": {"trunk": under("_feature_blocks.", t)}}}},
        "unknown (layout VISSL ResNet)",
    ),
    "resnet_mmselfsup": Case(
        RESNET,
        lambda t: {"meta": {}, "state_dict": under("backbone.", t) | {"neck.fc0.weight": torch.ones(2)}},
        "unknown (layout mmselfsup ResNet)",
    ),
    "resnet_detectron2": Case(
        RESNET,
        lambda t: {"model": spell(layouts.RESNET_DETECTRON2, t), "matching_heuristics": True},
        "unknown (layout detectron2 ResNet)",
    ),
}
