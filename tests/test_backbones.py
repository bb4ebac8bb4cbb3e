"""The house ViT and canonical checkpoints."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from benchmarks.backbones import HouseViT, load_backbone
from benchmarks.backbones.loading import weight_differences
from benchmarks.backbones.vit import resize_position_table
from benchmarks.checkpoints.canonical import read_canonical, write_canonical, write_safetensors
from benchmarks.checkpoints.card import DINO_RESIZE, Architecture, ResizeRule
from benchmarks.controls import write_random_control
from benchmarks.errors import InputError


@pytest.fixture
def control(tmp_path):
    path = tmp_path / "control.safetensors"
    write_random_control(path, seed=0)
    return path


def test_round_trip_is_exact_and_repeatable(control, tmp_path):
    module, card = load_backbone(control)
    tensors, _ = read_canonical(control)
    assert weight_differences(module, tensors) == []
    write_canonical(tmp_path / "again.safetensors", module.state_dict(), card)
    assert (tmp_path / "again.safetensors").read_bytes() == control.read_bytes()


def test_another_value_is_found(control):
    module, _ = load_backbone(control)
    tensors, _ = read_canonical(control)
    module.blocks[0].attn.qkv.bias.data[3] += 1e-6
    assert weight_differences(module, tensors) == ["blocks.0.attn.qkv.bias holds other values than the file"]


def test_a_missing_tensor_is_refused(control, tmp_path):
    tensors, card = read_canonical(control)
    del tensors["blocks.1.norm1.weight"]
    write_canonical(tmp_path / "holes.safetensors", tensors, card)
    with pytest.raises(InputError, match=r"blocks\.1\.norm1\.weight is not in the file"):
        load_backbone(tmp_path / "holes.safetensors")


def test_a_text_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_text("not weights at all")
    with pytest.raises(InputError, match="is no checkpoint but text"):
        load_backbone(path)


@pytest.mark.parametrize("rule", [DINO_RESIZE, ResizeRule(), ResizeRule(antialias=True)])
def test_a_table_on_its_own_grid_is_untouched(rule):
    table = torch.randn(1, 36, 8)
    assert torch.equal(resize_position_table(table, 6, (6, 6), rule), table)
    # As many tokens, another shape: a resize is needed although the count agrees.
    assert not torch.equal(resize_position_table(table, 6, (4, 9), rule), table)


def test_prefix_tokens_come_first_and_only_the_class_token_has_a_position():
    architecture = Architecture(
        16, 1, 2, patch_size=8, image_size=32, class_token=True, registers=3, position_prefix_rows=1
    )
    module = HouseViT(architecture, DINO_RESIZE).eval()
    embedded = module._pos_embed(module.patch_embed(torch.randn(2, 3, 16, 24)))
    assert embedded.shape == (2, 1 + 3 + 6, 16)
    assert torch.equal(embedded[0, 0], (module.cls_token + module.pos_embed[:, :1])[0, 0])
    assert torch.equal(embedded[:, 1:4], module.reg_token.expand(2, -1, -1))
    assert module.patch_tokens(torch.randn(2, 3, 16, 24)).shape == (2, 6, 16)


def test_values_that_are_no_numbers_are_refused(control, tmp_path):
    tensors, card = read_canonical(control)
    tensors["blocks.1.norm1.weight"][3] = float("nan")
    write_canonical(tmp_path / "nan.safetensors", tensors, card)
    with pytest.raises(InputError, match=r"blocks\.1\.norm1\.weight holds NaN"):
        load_backbone(tmp_path / "nan.safetensors")


@pytest.mark.parametrize("card", ["[]", "{", '{"card_version": 1, "architecture": 3}', '{"card_version": 2}'])
def test_a_card_that_is_none_is_refused(card, control, tmp_path):
    tensors, _ = read_canonical(control)
    write_safetensors(tmp_path / "x.safetensors", tensors, {"card": card})
    with pytest.raises(InputError, match="convert the source file again"):
        load_backbone(tmp_path / "x.safetensors")


def test_corners_can_be_aligned():
    table = torch.arange(9.0).reshape(1, 9, 1)
    resized = resize_position_table(table, 3, (5, 5), ResizeRule(mode="bilinear", align_corners=True))
    assert torch.equal(resized[0, [0, 4, 20, 24], 0], torch.tensor([0.0, 2.0, 6.0, 8.0]))


@torch.no_grad()
def test_rotary_attention_is_the_formula():
    architecture = Architecture(16, 1, 2, 8, 32, class_token=True, registers=2, position="rope")
    module = HouseViT(architecture, ResizeRule()).eval()
    module.rope.periods.copy_(torch.tensor([1.0, 3.0]))
    block, x = module.blocks[0].attn, torch.randn(1, 3 + 6, 16)
    q, k, v = (t.clone() for t in block.qkv(x).reshape(1, 9, 3, 2, 8).permute(2, 0, 3, 1, 4))

    def rotated(heads, row, column):
        """One token's channels as DINOv3 pairs them: i with i + 4; row angles first, then column angles."""
        angles = torch.tensor([2 * math.pi * c / p for c in (row, column) for p in (1.0, 3.0)])
        first, second = heads[..., :4], heads[..., 4:]
        return torch.cat(
            [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], dim=-1
        )

    for token in range(6):
        row, column = (token // 3 + 0.5) / 2 * 2 - 1, (token % 3 + 0.5) / 3 * 2 - 1
        for heads in (q, k):
            heads[:, :, 3 + token] = rotated(heads[:, :, 3 + token].clone(), row, column)
    weights = (q @ k.transpose(-2, -1) / 8**0.5).softmax(-1)
    expected = block.proj((weights @ v).transpose(1, 2).reshape(1, 9, 16))
    assert torch.allclose(block(x, module.rope(2, 3)), expected, atol=1e-5)
    with pytest.raises(RuntimeError, match="without angles"):
        block(x)


def rotary_network():
    torch.manual_seed(0)
    architecture = Architecture(16, 2, 2, 8, 32, class_token=True, registers=2, position="rope")
    module = HouseViT(architecture, ResizeRule()).eval()
    module.rope.periods.copy_(torch.tensor([1.0, 3.0]))
    return module


@torch.no_grad()
def test_a_network_called_from_threads_gives_what_it_gives_alone():
    module = rotary_network()
    images = [torch.randn(1, 3, *size) for size in ((16, 24), (24, 16), (32, 32), (8, 48))]
    expected = [module.patch_tokens(image) for image in images]
    # Every forward reaches the first block before any of them goes on: whatever they share is the last one's.
    meeting = threading.Barrier(len(images))

    def wait(*_):
        meeting.wait(timeout=60)

    module.blocks[0].register_forward_pre_hook(wait)
    with ThreadPoolExecutor(len(images)) as pool:
        for _ in range(3):
            for ours, alone in zip(pool.map(torch.no_grad()(module.patch_tokens), images), expected, strict=True):
                assert torch.equal(ours, alone)


def test_recomputed_rotary_blocks_have_the_gradients_of_kept_ones():
    module = rotary_network()
    images, others = torch.randn(2, 3, 16, 24), torch.randn(1, 3, 24, 16)
    found, calls = [], []
    module.blocks[1].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    for enable in (False, True):
        module.zero_grad()
        module.set_grad_checkpointing(enable)
        loss = module.forward_intermediates(images, indices=1, intermediates_only=True)[0].square().sum()
        with torch.no_grad():
            module.patch_tokens(others)  # another grid before the backward pass
        loss.backward()
        found.append([value.grad.clone() for value in module.parameters() if value.grad is not None])
    assert len(calls) == 2 + 3
    assert all(torch.equal(kept, again) for kept, again in zip(*found, strict=True))
