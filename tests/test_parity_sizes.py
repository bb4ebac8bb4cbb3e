"""Features at the sizes of detection and segmentation: equal to each family's own code, in fp32.

Two blocks of small width and one head. The own code is transformers', for EVA-02 timm's.
"""

import pytest
import torch
import transformers
from test_checkpoints_transformers import CASES
from test_timm_networks import difference, folder
from timm_sweep import randomised

from benchmarks.backbones import load_backbone

#: Crops of ADE20K, Mask R-CNN's largest pictures, ViTDet's squares; then the whole patches of 14 around them.
SIZES = {16: ((512, 512), (800, 1344), (1024, 1024)), 14: ((518, 518), (812, 1344), (1036, 1036))}

#: family -> a case of transformers, its patch, and the side of the pictures of its pretraining.
FAMILIES = {
    "DINO, iBOT, MoCo-v3": ("vit", 16, 224),
    "DINOv2": ("dinov2", 14, 518),
    "DINOv2 with registers": ("dinov2_with_registers", 14, 518),
    "DINOv2-g (SwiGLU)": ("dinov2_gated", 14, 518),
    "DINOv3 ViT": ("dinov3_vit", 16, 224),
    "DINOv3 ConvNeXt": ("dinov3_convnext", 16, None),
    "I-JEPA": ("ijepa", 16, 224),
    "SigLIP": ("siglip", 16, 224),
    "Swin": ("swin", 16, None),
}
#: Whose positions transformers resizes only when it is told to.
ASKED = ("vit", "ijepa", "siglip")


@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_the_own_codes_at_the_sizes_in_use(family, tmp_path):
    case, patch, side = FAMILIES[family]
    model, config, settings, _, prefix = CASES[case]
    settings = settings | ({"patch_size": patch, "image_size": side, "num_attention_heads": 1} if side else {})
    network = randomised(getattr(transformers, model)(getattr(transformers, config)(**settings)))
    network.save_pretrained(tmp_path)
    ours, _ = load_backbone(tmp_path)
    for size in SIZES[patch]:
        images = torch.randn(1, 3, *size)
        with torch.inference_mode():
            theirs = network(images, **({"interpolate_pos_encoding": True} if case in ASKED else {}))
            theirs = theirs.last_hidden_state
            theirs = theirs.flatten(2).transpose(1, 2) if theirs.ndim == 4 else theirs[:, prefix:]
            assert difference(ours.patch_tokens(images), theirs) < 1e-4, size


def test_siglip2s_features_are_its_own_codes(tmp_path):
    settings = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 48}
    settings |= {"num_patches": 256, "patch_size": 16}
    network = randomised(transformers.Siglip2VisionModel(transformers.Siglip2VisionConfig(**settings)))
    network.save_pretrained(tmp_path)
    ours, _ = load_backbone(tmp_path)
    for height, width in SIZES[16]:
        images, (rows, columns) = torch.randn(1, 3, height, width), (height // 16, width // 16)
        cut = images.reshape(1, 3, rows, 16, columns, 16).permute(0, 2, 4, 3, 5, 1).reshape(1, rows * columns, -1)
        with torch.inference_mode():
            mask, shape = torch.ones(1, rows * columns), torch.tensor([[rows, columns]])
            theirs = network(cut, pixel_attention_mask=mask, spatial_shapes=shape).last_hidden_state
            assert difference(ours.patch_tokens(images), theirs) < 1e-4, (height, width)


def test_eva02s_features_are_timms(tmp_path):
    small = {"embed_dim": 24, "depth": 2, "num_heads": 1, "img_size": 224, "dynamic_img_size": True}
    network = folder(tmp_path / "x", "eva02_tiny_patch14_224", small)
    ours, _ = load_backbone(tmp_path / "x")
    for size in SIZES[14]:
        images = torch.randn(1, 3, *size)
        with torch.inference_mode():
            theirs = network.forward_features(images)[:, network.num_prefix_tokens :]
            assert difference(ours.patch_tokens(images), theirs) < 1e-4, size
