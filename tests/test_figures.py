"""Attention of the last block against the formula, written out."""

import pytest
import torch

from benchmarks.backbones import HouseViT
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture
from benchmarks.figures.attention import last_attention


@pytest.mark.parametrize("class_token", [True, False])
def test_attention_is_that_of_the_formula(class_token):
    torch.manual_seed(0)
    architecture = Architecture(
        24, 2, 3, patch_size=8, image_size=32, class_token=class_token, position_prefix_rows=int(class_token)
    )
    module = HouseViT(architecture, DINO_RESIZE).eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    images = torch.randn(2, 3, 32, 40)
    with torch.inference_mode():
        x = module.blocks[0](module._pos_embed(module.patch_embed(images)))
        x = module.blocks[1].norm1(x)
        qkv = module.blocks[1].attn.qkv(x)
        expected = []
        for head in range(3):
            q, k = (qkv[..., part * 24 + head * 8 : part * 24 + head * 8 + 8] for part in (0, 1))
            expected.append((q @ k.transpose(1, 2) / 8**0.5).softmax(-1))
    ours = last_attention(module, images)
    assert ours.shape == (2, 3, 20 + class_token, 20 + class_token)
    assert (ours - torch.stack(expected, 1)).abs().max() < 1e-6
