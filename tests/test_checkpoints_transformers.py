"""Folders of transformers, tiny and with random weights: features equal transformers' own."""

import json

import pytest
import torch
import transformers
from timm_sweep import randomised

from benchmarks.backbones import load_backbone
from benchmarks.errors import InputError

VIT = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 48}
SMALL = VIT | {"image_size": 32, "patch_size": 8}
RATIO = {name: value for name, value in SMALL.items() if name != "intermediate_size"} | {"mlp_ratio": 2}
NO_MASK = {"mask_ratio": 0.0}
CONVNEXT = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 2, 1]}
SWIN = {"embed_dim": 12, "depths": [2, 2, 1, 1], "num_heads": [1, 2, 3, 4], "window_size": 4, "image_size": 128}

#: class of the model, of the configuration, its settings, side of the images, tokens before the patches
CASES = {
    "dinov2": ("Dinov2Model", "Dinov2Config", RATIO, 32, 1),
    "dinov2_gated": ("Dinov2Model", "Dinov2Config", RATIO | {"use_swiglu_ffn": True}, 32, 1),
    "dinov2_with_registers": (
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        RATIO | {"num_register_tokens": 2},
        32,
        3,
    ),
    "dinov3_vit": ("DINOv3ViTModel", "DINOv3ViTConfig", SMALL | {"num_register_tokens": 2}, 32, 3),
    "vit": ("ViTModel", "ViTConfig", SMALL, 32, 1),
    "vit_msn": ("ViTMSNModel", "ViTMSNConfig", SMALL, 32, 1),
    "ijepa": ("IJepaModel", "IJepaConfig", SMALL, 32, 0),
    "siglip": ("SiglipVisionModel", "SiglipVisionConfig", SMALL, 32, 0),
    "clip": ("CLIPVisionModel", "CLIPVisionConfig", SMALL, 32, 1),
    "clip_gelu": ("CLIPVisionModel", "CLIPVisionConfig", SMALL | {"hidden_act": "gelu"}, 32, 1),
    "convnext": ("ConvNextModel", "ConvNextConfig", CONVNEXT, 64, 0),
    "convnextv2": ("ConvNextV2Model", "ConvNextV2Config", CONVNEXT, 64, 0),
    "dinov3_convnext": ("DINOv3ConvNextModel", "DINOv3ConvNextConfig", CONVNEXT | {"layer_norm_eps": 1e-4}, 64, 1),
    "swin": ("SwinModel", "SwinConfig", SWIN, 128, 0),
    "swin_small_windows": ("SwinModel", "SwinConfig", SWIN | {"window_size": 2, "image_size": 64}, 64, 0),
}


def saved(case, folder):
    model, config, settings, side, prefix = CASES[case]
    network = randomised(getattr(transformers, model)(getattr(transformers, config)(**settings)))
    network.save_pretrained(folder)
    return network, torch.randn(2, 3, side, side), prefix


@pytest.mark.parametrize("case", CASES)
def test_features_are_those_of_transformers(case, tmp_path):
    network, images, prefix = saved(case, tmp_path)
    ours, card = load_backbone(tmp_path)
    with torch.inference_mode():
        theirs = network(images).last_hidden_state
        found = ours.patch_tokens(images)
    theirs = theirs.flatten(2).transpose(1, 2) if theirs.ndim == 4 else theirs[:, prefix:]
    assert float((found - theirs).norm() / theirs.norm()) < 1e-5
    assert card.provenance["method"] in ("file", "unknown")


def test_siglip2_takes_its_patches_from_a_linear_layer(tmp_path):
    settings = VIT | {"num_patches": 16, "patch_size": 8}
    network = randomised(transformers.Siglip2VisionModel(transformers.Siglip2VisionConfig(**settings)))
    network.save_pretrained(tmp_path)
    for rows, columns in ((4, 4), (3, 5)):
        images = torch.randn(1, 3, 8 * rows, 8 * columns)
        cut = images.reshape(1, 3, rows, 8, columns, 8).permute(0, 2, 4, 3, 5, 1).reshape(1, rows * columns, -1)
        with torch.inference_mode():
            mask = torch.ones(1, rows * columns)
            theirs = network(cut, pixel_attention_mask=mask, spatial_shapes=torch.tensor([[rows, columns]]))
            found = load_backbone(tmp_path)[0].patch_tokens(images)
        difference = (found - theirs.last_hidden_state).norm() / theirs.last_hidden_state.norm()
        assert float(difference) < 1e-5


def test_the_image_encoder_is_found_beside_a_text_encoder(tmp_path):
    text = VIT | {"vocab_size": 99, "num_hidden_layers": 1}
    config = transformers.SiglipConfig(text_config=text, vision_config=SMALL)
    network = randomised(transformers.SiglipModel(config))
    network.save_pretrained(tmp_path)
    images = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        theirs = network.vision_model(images).last_hidden_state
        assert torch.allclose(load_backbone(tmp_path)[0].patch_tokens(images), theirs, atol=1e-4)


def test_masked_autoencoders_keep_every_patch_here(tmp_path):
    network = randomised(transformers.ViTMAEModel(transformers.ViTMAEConfig(**SMALL, mask_ratio=0.0)))
    network.save_pretrained(tmp_path)
    images = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        theirs = network(images, noise=torch.arange(16.0)[None]).last_hidden_state[:, 1:]
        found = load_backbone(tmp_path)[0].patch_tokens(images)
    assert float((found - theirs).norm() / theirs.norm()) < 1e-5


@pytest.mark.parametrize("kind", ["beit", "swinv2", "hiera", "videomae", "no-such-type"])
def test_other_types_are_refused_by_name(kind, tmp_path):
    saved("vit", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": kind}))
    with pytest.raises(InputError, match=r"BEiT|Swin v2|model type of transformers"):
        load_backbone(tmp_path)
