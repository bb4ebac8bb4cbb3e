"""Tiny random networks in the files that training libraries write: keys as their sources build them.

Each case says which branch must be taken; what the features must be, timm's own forward tells.
"""

from __future__ import annotations

import argparse
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from checkpoint_files import other, under
from timm.models.resnet import Bottleneck, ResNet
from timm.models.vision_transformer import VisionTransformer

Tensors = dict[str, torch.Tensor]
HEAD = {"mlp.0.weight": torch.ones(2, 2), "last_layer.weight_g": torch.ones(2, 1)}


def vit(**changes: Any) -> VisionTransformer:
    """Two blocks, six heads where nobody would guess them, patches of 8 pixels."""
    settings = {"img_size": 48, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 6, "num_classes": 0}
    return _random(VisionTransformer(**settings | changes))


def resnet() -> ResNet:
    """A ResNet of four narrow stages."""
    return _random(ResNet(Bottleneck, (1, 2, 1, 1), channels=(2, 4, 8, 16), stem_width=16, num_classes=0))


def _random(module: torch.nn.Module) -> torch.nn.Module:
    rng = torch.Generator().manual_seed(0)
    for name, tensor in module.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            tensor.copy_(torch.rand(tensor.shape, generator=rng) + 0.5)
        elif tensor.ndim > 1 and "token" not in name and name != "pos_embed":
            tensor.copy_(torch.randn(tensor.shape, generator=rng) / tensor[0].numel() ** 0.5)
        else:
            tensor.copy_(torch.randn(tensor.shape, generator=rng) * 0.3)
    return module.eval()


def features_of(module: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Patch tokens after the final norm, or the last map's cells, row by row."""
    with torch.inference_mode():
        maps = module.forward_features(images)
    return maps.flatten(2).transpose(1, 2) if maps.ndim == 4 else maps[:, module.num_prefix_tokens :]


class Library(NamedTuple):
    """A training file: the network in it, how it is written, and which branch must be taken."""

    network: Callable[[], torch.nn.Module]
    write: Callable[[Tensors], Any]
    branch: str
    outside: str | None = None  # a tensor that must be told as outside of the branch


def lightning(state: Tensors, **more: Any) -> dict[str, Any]:
    """``Trainer.save_checkpoint`` of (pytorch-)lightning."""
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    return {
        "epoch": 1,
        "global_step": 10,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": OrderedDict(state),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {},
        "optimizer_states": [optimizer],
        "lr_schedulers": [{"base_lrs": [0.1]}],
        "hyper_parameters": {"batch_size": 4},
    } | more


class PickledModel(torch.nn.Module):
    """Stands for the module that LightlyTrain pickles beside the state dict."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 2)


def lightly_train(state: Tensors) -> dict[str, Any]:
    module = PickledModel()
    models = {"model": module, "wrapped_model": module, "embedding_model": module}
    return lightning(state, lightly_train={"version": "0.6", "models": models, "license_info": ""})


def deepspeed(state: Tensors) -> dict[str, Any]:
    """``mp_rank_00_model_states.pt`` up to ZeRO-2."""
    return {
        "module": OrderedDict(under("module.", state)),
        "buffer_names": [],
        "optimizer": None,
        "param_shapes": [OrderedDict((name, tensor.shape) for name, tensor in state.items())],
        "frozen_param_shapes": None,
        "lr_scheduler": None,
        "ds_config": {"zero_optimization": {"stage": 2}},
        "ds_version": "0.14.0",
        "dp_world_size": 8,
        "mp_world_size": 1,
        "global_steps": 3,
    }


def meta_arch(tensors: Tensors, *teachers: str) -> Tensors:
    """The state dict of DINOv2's and DINOv3's SSLMetaArch; teachers after the first are the same module again."""
    state = under("student.backbone.", other(tensors)) | under("student.dino_head.", HEAD)
    for teacher in teachers:
        state |= under(f"{teacher}.backbone.", tensors) | under(f"{teacher}.dino_head.", HEAD)
    return state | {"dino_loss.center": torch.zeros(1, 2), "ibot_patch_loss.center": torch.zeros(1, 1, 2)}


def compiled(tensors: Tensors) -> Tensors:
    """Compiled as a whole and block by block."""
    return {name.replace("blocks.1.", "blocks.1._orig_mod."): tensor for name, tensor in tensors.items()}


def dinov2_vit() -> VisionTransformer:
    return vit(init_values=1.0)


def mae_pytorch_vit() -> VisionTransformer:
    """Positions in one sequence, as in "Attention is all you need"; no class token; keys without a bias."""
    network = vit(class_token=False, global_pool="avg", fc_norm=False)
    with torch.no_grad():
        for place in range(36):
            for channel in range(24):
                angle = place / 10000 ** (2 * (channel // 2) / 24)
                network.pos_embed[0, place, channel] = math.cos(angle) if channel % 2 else math.sin(angle)
        for block in network.blocks:
            block.attn.qkv.bias[24:48] = 0
    return network


def mae_pytorch(state: Tensors) -> dict[str, Any]:
    """Its ``utils.save_model``: positions are not stored, and the key's bias does not exist."""
    encoder = {name: tensor for name, tensor in state.items() if name != "pos_embed" and "qkv.bias" not in name}
    for block in range(2):
        query, _, value = state[f"blocks.{block}.attn.qkv.bias"].chunk(3)
        encoder |= {f"blocks.{block}.attn.q_bias": query, f"blocks.{block}.attn.v_bias": value}
    decoder = {"decoder.blocks.0.attn.qkv.weight": torch.ones(36, 12), "decoder.blocks.0.attn.q_bias": torch.ones(12)}
    beside = {"encoder_to_decoder.weight": torch.ones(12, 24), "mask_token": torch.zeros(1, 1, 12)} | decoder
    arguments = argparse.Namespace(model="pretrain_mae_base_patch16_224", input_size=48)
    return {"model": under("encoder.", encoder) | beside, "optimizer": {}, "epoch": 9, "scaler": {}, "args": arguments}


def classy(state: Tensors) -> Tensors:
    """Classy Vision's names of a ResNet, in SSCD's published files."""
    convs = {"conv1": "convolutional_block.0", "conv2": "convolutional_block.3", "conv3": "convolutional_block.6"}
    norms = {"bn1": "convolutional_block.1", "bn2": "convolutional_block.4", "bn3": "bn"}
    written = {"embeddings.1.weight": torch.ones(2, 64), "embeddings.1.bias": torch.ones(2)}
    for name, tensor in state.items():
        if name.startswith("layer"):
            stage, block, part, rest = name.split(".", 3)
            number = int(stage[-1]) - 1
            name = f"blocks.{number}.block{number}-{block}.{(convs | norms).get(part, part)}.{rest}"
        else:
            part, rest = name.split(".", 1)
            name = f"initial_block._module.{['conv1', 'bn1'].index(part)}.{rest}"
        written[f"backbone.{name}"] = tensor
    return written


FC = {"fc.weight": torch.ones(2, 64), "fc.bias": torch.ones(2)}
PROJECTOR = {"projector.0.weight": torch.ones(2, 2), "projector.1.running_mean": torch.ones(2)}
MASK = {"mask_token": torch.zeros(1, 24)}

#: Of the libraries whose layout is a family of its own.
METHODS_OF_LIBRARIES = {"mae_pytorch": "MAE-pytorch", "sscd_classy": "unknown (layout Classy Vision)"}

LIBRARIES: dict[str, Library] = {
    "solo_learn_dino": Library(
        vit,
        lambda t: lightning(
            under("backbone.", other(t))
            | under("momentum_backbone.", t)
            | under("head.", HEAD)
            | under("momentum_head.", HEAD)
            | {"classifier.weight": torch.ones(2, 24), "dino_loss_func.center": torch.zeros(1, 2)}
        ),
        "state_dict.momentum_backbone",
        "classifier.weight",
    ),
    "solo_learn_simclr": Library(
        resnet,
        lambda t: lightning(under("backbone.", t) | PROJECTOR | {"classifier.weight": torch.ones(2, 64)}),
        "state_dict.backbone",
        "projector.0.weight",
    ),
    "solo_learn_linear": Library(
        vit,
        lambda t: lightning(under("backbone.", t) | {"classifier.weight": torch.ones(2, 24)}),
        "state_dict.backbone",
    ),
    "lightly_dino": Library(
        vit,
        lambda t: lightning(
            under("backbone.vit.", other(t))
            | under("teacher_backbone.vit.", t)
            | {"backbone.mask_token": torch.zeros(1, 1, 24), "teacher_backbone.mask_token": torch.zeros(1, 1, 24)}
            | under("student_projection_head.", HEAD)
            | {"online_classifier.classification_head.weight": torch.ones(2, 24)}
        ),
        "state_dict.teacher_backbone.vit",
        "teacher_backbone.mask_token",
    ),
    "lightly_mae": Library(
        vit,
        lambda t: lightning(
            under("backbone.vit.", t)
            | {
                "decoder.decoder_embed.weight": torch.ones(2, 24),
                "decoder.decoder_blocks.0.norm1.weight": torch.ones(2),
            }
            | {"backbone.mask_token": torch.zeros(1, 1, 24)}
        ),
        "state_dict.backbone.vit",
        "decoder.decoder_embed.weight",
    ),
    "lightly_byol": Library(
        resnet,
        lambda t: lightning(under("backbone.", other(t)) | under("teacher_backbone.", t) | PROJECTOR),
        "state_dict.teacher_backbone",
    ),
    "lightly_train_dino": Library(
        vit,
        lambda t: lightly_train(
            under("teacher_embedding_model.wrapped_model._model.", t)
            | under("student_embedding_model.wrapped_model._model.", other(t))
            | under("teacher_projection_head.", HEAD)
            | under("student_projection_head.", HEAD)
        ),
        "state_dict.teacher_embedding_model.wrapped_model._model",
        "student_projection_head.mlp.0.weight",
    ),
    "lightly_train_dinov2": Library(
        dinov2_vit,
        lambda t: lightly_train(
            under("teacher_embedding_model_wrapper._model.", t | MASK)
            | under("student_embedding_model_wrapper._model.", other(t | MASK))
            | under("teacher_dino_head.dino_head.", HEAD)
        ),
        "state_dict.teacher_embedding_model_wrapper._model",
    ),
    "lightly_train_exported": Library(vit, lambda t: t, "whole file"),
    "swav": Library(
        resnet,
        lambda t: {
            "epoch": 1,
            "state_dict": under("module.", t)
            | {"module.projection_head.0.weight": torch.ones(2, 64), "module.prototypes.weight": torch.ones(2, 2)},
            "optimizer": {"state": {}, "param_groups": []},
            "amp": {},
        },
        "state_dict",
    ),
    "swav_published": Library(
        resnet,
        lambda t: (
            under("module.", t)
            | {"module.projection_head.0.weight": torch.ones(2, 64), "module.prototypes.weight": torch.ones(2, 2)}
        ),
        "whole file",
    ),
    "simsiam": Library(
        resnet,
        lambda t: {
            "epoch": 100,
            "arch": "resnet50",
            "state_dict": under("module.encoder.", t | {"fc.0.weight": torch.ones(64, 64)})
            | {"module.predictor.0.weight": torch.ones(2, 64)},
            "optimizer": {"state": {}, "param_groups": []},
        },
        "state_dict.encoder",
        "module.predictor.0.weight",
    ),
    "barlow_twins": Library(
        resnet,
        lambda t: {
            "epoch": 1,
            "model": under("module.backbone.", t)
            | under("module.", PROJECTOR)
            | {"module.bn.running_mean": torch.ones(2)},
            "optimizer": {"state": {}, "param_groups": []},
        },
        "model.backbone",
        "module.bn.running_mean",
    ),
    "vicreg": Library(
        resnet,
        lambda t: {
            "epoch": 1,
            "model": under("module.backbone.", t) | under("module.", PROJECTOR),
            "optimizer": {"state": {}, "param_groups": []},
        },
        "model.backbone",
    ),
    "pixpro": Library(
        resnet,
        lambda t: {
            "opt": argparse.Namespace(arch="resnet50", model="PixPro"),
            "model": under("module.encoder.", t)
            | under("module.encoder_k.", other(t))
            | {"module.projector.linear1.weight": torch.ones(2, 64, 1, 1), "module.projector_k.bn1.bias": torch.ones(2)}
            | {"module.value_transform.weight": torch.ones(2, 2, 1, 1)},
            "optimizer": {"state": {}, "param_groups": []},
            "scheduler": {},
            "epoch": 3,
        },
        "model.encoder",
        "module.value_transform.weight",
    ),
    "sscd_torchvision": Library(resnet, lambda t: under("backbone.", t | FC), "backbone"),
    "sscd_classy": Library(resnet, classy, "backbone", "embeddings.1.weight"),
    "mae_pytorch": Library(mae_pytorch_vit, mae_pytorch, "encoder", "decoder.blocks.0.attn.q_bias"),
    "sscd_lightning": Library(
        resnet, lambda t: lightning(under("model.backbone.", t | FC)), "state_dict.model.backbone"
    ),
    "lightning_model": Library(vit, lambda t: lightning(under("model.", t)), "state_dict.model"),
    "lightning_net_backbone": Library(
        vit,
        lambda t: lightning(under("net.backbone.", t) | {"net.head.weight": torch.ones(2, 24)}),
        "state_dict.net.backbone",
        "net.head.weight",
    ),
    "compiled": Library(
        vit,
        lambda t: {"model": under("_orig_mod.module.backbone._orig_mod.", compiled(t)), "epoch": 1},
        "model.backbone",
    ),
    "dinov2_training": Library(
        dinov2_vit,
        lambda t: {"model": meta_arch(t | MASK, "teacher"), "optimizer": {}, "scheduler": {}, "iteration": 9},
        "model.teacher.backbone",
        "dino_loss.center",
    ),
    "dinov3_training": Library(
        dinov2_vit,
        lambda t: {"model": meta_arch(t | MASK, "teacher", "model_ema"), "iteration": 9},
        "model.teacher.backbone",
    ),
    "dinov3_gram": Library(
        dinov2_vit,
        lambda t: {
            "model": meta_arch(t | MASK, "teacher", "model_ema")
            | under("gram_teacher.backbone.", {name: tensor + 1 for name, tensor in (t | MASK).items()})
        },
        "model.teacher.backbone",
    ),
    "deepspeed": Library(vit, deepspeed, "module"),
    "fsdp_consolidated": Library(
        vit,
        lambda t: {"model_state_dict": under("encoder.", t), "optimizer_state_dict": {}, "step": 5},
        "model_state_dict.encoder",
    ),
    "ijepa": Library(
        lambda: vit(class_token=False, global_pool="avg", fc_norm=False),
        lambda t: {
            "encoder": under("module.", other(t)),
            "predictor": {
                "module.predictor_pos_embed": torch.ones(2),
                "module.mask_token": torch.ones(1, 1, 2),
            },
            "target_encoder": under("module.", t),
            "opt": {"state": {}, "param_groups": []},
            "scaler": None,
            "epoch": 300,
            "loss": 0.1,
            "batch_size": 2,
            "world_size": 16,
            "lr": 0.1,
        },
        "target_encoder",
    ),
    "bare_encoder": Library(vit, lambda t: {"encoder": t}, "encoder"),
    "encoder_in_model": Library(vit, lambda t: {"model": under("encoder.", t)}, "model.encoder"),
    "nested": Library(
        vit,
        lambda t: {"weights": {"student": {"trunk": other(t)}, "ema": {"trunk": t}}, "step": 3},
        "weights.ema.trunk",
    ),
    "openselfsup_byol": Library(
        resnet,
        lambda t: {
            "meta": {"epoch": 1},
            "state_dict": under("backbone.", other(t))
            | under("online_net.0.", other(t))
            | under("target_net.0.", t)
            | {"online_net.1.mlp.0.weight": torch.ones(2, 64), "head.predictor.mlp.0.weight": torch.ones(2, 2)},
        },
        "state_dict.target_net.0",
    ),
    "openselfsup_simclr": Library(
        resnet,
        lambda t: {"meta": {}, "state_dict": under("backbone.", t) | {"neck.fc0.weight": torch.ones(2, 64)}},
        "state_dict.backbone",
    ),
    "mae_fork": Library(
        vit,
        lambda t: {
            "model": under("encoder.", t)
            | {"encoder_to_decoder.weight": torch.ones(2, 24), "decoder.blocks.0.norm1.weight": torch.ones(2)}
            | {"mask_token": torch.zeros(1, 1, 2)},
            "epoch": 1,
        },
        "model.encoder",
        "encoder_to_decoder.weight",
    ),
    "timm_training": Library(
        vit,
        lambda t: {
            "epoch": 3,
            "arch": "vit_small_patch16_224",
            "state_dict": other(t),
            "state_dict_ema": t,
            "optimizer": {"state": {}, "param_groups": []},
            "version": 2,
            "args": argparse.Namespace(
                model="vit_small_patch16_224",
                num_classes=1000,
                img_size=48,
                model_kwargs={"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 6},
            ),
        },
        "state_dict_ema",
    ),
    "gradient_checkpointing": Library(
        vit,
        lambda t: {"model": {n.replace("blocks.0.", "blocks.0._checkpoint_wrapped_module."): v for n, v in t.items()}},
        "model",
    ),
}
