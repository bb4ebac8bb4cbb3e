"""Conversion held against what the original code computes, and against files that want to be run.

``tests/data/formats`` holds tiny random checkpoints in the original layouts, with features recorded
by running the published code (each ``meta.json`` names it).
"""

import argparse
import fnmatch
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.backbones import load_backbone
from benchmarks.checkpoints.container import open_foreign
from benchmarks.checkpoints.convert import canonical, convert
from benchmarks.checkpoints.formats import all_formats
from benchmarks.errors import InputError
from pretrain.config import ModelConfig
from pretrain.networks import Network

ROOT = Path(__file__).resolve().parents[1]
FORMATS = Path(__file__).parent / "data" / "formats"


def features(path, inputs):
    module, _ = load_backbone(path)
    with torch.inference_mode():
        return module.patch_tokens(torch.from_numpy(inputs)).numpy()


def source_of(name):
    files = [path for path in (FORMATS / name).iterdir() if path.name.startswith("ckpt")]
    return files[0] if files else FORMATS / name


@pytest.mark.parametrize("name", sorted(path.name for path in FORMATS.iterdir()))
def test_features_are_those_of_the_published_code(name, tmp_path):
    meta = json.loads((FORMATS / name / "meta.json").read_text())
    architecture, source, out = meta["arch"], source_of(name), tmp_path / "c.safetensors"
    told = architecture["family"] == "resnet" or meta["facts_in_file"]
    if not told:
        with pytest.raises(InputError, match="--heads"):
            convert(source, out)
        assert not list(tmp_path.iterdir())
    ledger = convert(source, out, None if told else architecture["num_heads"])
    assert ledger.prefix == meta["prefix"]
    if architecture["family"] == "vit":
        assert ledger.card.architecture.num_heads == architecture["num_heads"]
        assert ledger.card.architecture.eps == architecture["eps"]
        assert ledger.card.resize.offset == meta["resize_rule"]["offset"]
        assert ledger.card.resize.antialias == meta["resize_rule"]["antialias"]
    for drop in meta["dropped"]:
        if "keys" in drop:
            names = [dropped for dropped in ledger.dropped if fnmatch.fnmatch(dropped, drop["keys"])]
            assert len(names) == drop["count"]
        else:
            assert drop["container"] in ledger.other_entries
    if isinstance(meta["weights_only"], dict):
        assert set(ledger.foreign_globals) == set(meta["weights_only"]["foreign_globals"])
    with np.load(FORMATS / name / "io.npz") as io:
        for key in [key for key in io.files if key in ("x0", "x1", "x2")]:
            expected = io["y" + key[1:]]
            if expected.ndim == 4:  # a ResNet's map
                expected = expected.reshape(*expected.shape[:2], -1).transpose(0, 2, 1)
            # fp32 sums in another order; a wrong head count, eps or resize rule moves features by 0.05 % and more
            assert np.abs(features(out, io[key]) - expected).max() < 2e-6 * np.abs(expected).max() + 1e-5


def test_the_student_is_another_network(tmp_path):
    convert(FORMATS / "dino_full" / "ckpt.pth", tmp_path / "s.safetensors", branch="student")
    with np.load(FORMATS / "dino_full" / "io.npz") as io:
        got = features(tmp_path / "s.safetensors", io["x0"])
        assert np.abs(got - io["y0_student"]).max() < 1e-5
        assert np.abs(got - io["y0"]).max() > 0.1


def test_the_ledger_accounts_for_every_tensor(tmp_path):
    source = FORMATS / "dino_full" / "ckpt.pth"
    ledger = convert(source, tmp_path / "c.safetensors")
    assert set(ledger.loaded) | set(ledger.dropped) == set(open_foreign(source).content["teacher"])
    assert not set(ledger.loaded) & set(ledger.dropped)
    assert len(ledger.dropped) == 8
    assert "argparse.Namespace" in ledger.foreign_globals
    assert ledger.other_branches == ("student",)
    text = ledger.text()
    assert "6   (from: table)" in text  # the file says vit_small, not how many
    assert "8 tensors: projection head" in text


def test_converting_twice_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        convert(FORMATS / "dino_full" / "ckpt.pth", tmp_path / f"{name}.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def flsl_file(path, final_norm, **more):
    """A training file of FLSL's layout around a tiny network; gives the network back."""
    torch.manual_seed(0)
    model = ModelConfig(
        embed_dim=32, depth=2, num_heads=4, patch_size=8, image_size=48, final_norm=final_norm,
        clusters=8, head_hidden_dim=16, head_bottleneck_dim=8,
    )  # fmt: skip
    network = Network(model).eval()
    for parameter in network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    state = network.state_dict() | {"backbone.cls_token": torch.randn(1, 1, 32)}
    student = {f"module.{name}": torch.zeros_like(value) for name, value in state.items()}
    torch.save({"teacher": state, "student": student, "epoch": 1, "flsl_loss": {}, **more}, path)
    return network


@pytest.mark.parametrize("final_norm", ["tokens", "modes", "none"])
def test_flsl_variants(final_norm, tmp_path):
    args = argparse.Namespace(layernorm_on_mode=final_norm == "modes")
    network = flsl_file(tmp_path / "flsl.pth", final_norm, args=args)
    ledger = convert(tmp_path / "flsl.pth", tmp_path / "flsl.safetensors", heads=4)
    assert ledger.method == "FLSL"
    assert ledger.card.architecture.position == "sincos-mae"
    assert ledger.card.architecture.final_norm is (final_norm != "none")
    assert ledger.dropped["backbone.cls_token"] == "saved, but neither trained nor used by FLSL"
    assert ("modes" in " ".join(ledger.card.notes)) is (final_norm == "modes")
    images = torch.randn(2, 3, 40, 64)
    with torch.inference_mode():
        expected = network.backbone.patch_tokens(images)
        expected = expected if network.norm is None else network.norm(expected)
    assert np.abs(features(tmp_path / "flsl.safetensors", images.numpy()) - expected.numpy()).max() < 1e-5


def test_our_own_training_file_names_its_heads(tmp_path):
    flsl_file(tmp_path / "flsl.pth", "tokens", args={"num_heads": 4})
    path = canonical(tmp_path / "flsl.pth", cache_dir=tmp_path / "cache")
    assert load_backbone(path)[1].provenance["num_heads"] == "file"
    assert canonical(path) == path
    with pytest.raises(InputError, match="says 4 heads"):
        canonical(path, heads=2)


def run_tool(name, *arguments):
    command = [sys.executable, ROOT / "tools" / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_folder_is_a_source_everywhere(tmp_path):
    path = canonical(FORMATS / "hf_dinov2", cache_dir=tmp_path)
    assert load_backbone(path)[1].source_name == "hf_dinov2"
    with np.load(FORMATS / "hf_dinov2" / "io.npz") as io:
        assert np.abs(features(FORMATS / "hf_dinov2", io["x1"]) - io["y1"]).max() < 1e-5


def test_the_commands_from_file_to_features(tmp_path):
    with np.load(FORMATS / "dino_full" / "io.npz") as io:
        np.save(tmp_path / "x.npy", io["x1"])
        expected = io["y1"]
    report = tmp_path / "ledger.json"
    out = tmp_path / "c.safetensors"
    done = run_tool("convert.py", FORMATS / "dino_full" / "ckpt.pth", "--out", out, "--report", report)
    assert done.returncode == 0, done.stderr
    assert json.loads(report.read_text())["card"]["architecture"]["num_heads"] == 6
    done = run_tool("extract_features.py", out, tmp_path / "x.npy", "--out", tmp_path / "y.npy")
    assert done.returncode == 0, done.stderr
    assert np.abs(np.load(tmp_path / "y.npy") - expected).max() < 1e-5


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "empty", "truncated"])
def test_a_file_that_is_no_checkpoint_is_one_line(kind, tmp_path):
    path = tmp_path / "weights.pth"
    if kind == "folder":
        path.mkdir()
    elif kind == "truncated":
        path.write_bytes((FORMATS / "dino_full" / "ckpt.pth").read_bytes()[:5000])
    elif kind != "missing":
        path.write_text("hello" if kind == "text" else "")
    with pytest.raises(InputError) as caught:
        convert(path, tmp_path / "c.safetensors")
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "c.safetensors").exists()


def test_a_refusal_is_exit_2_and_one_line(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_text("hello")
    done = run_tool("convert.py", path, "--out", tmp_path / "c.safetensors")
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_large_file_is_mapped_and_not_copied(tmp_path):
    """The figures are in tests/performance/convert_memory.py; here: reading makes views of the file."""
    torch.save({"model": {"w": torch.ones(1 << 20), "v": torch.zeros(3)}}, tmp_path / "x.pth")
    weights = open_foreign(tmp_path / "x.pth").content["model"]
    size = (tmp_path / "x.pth").stat().st_size
    assert {tensor.untyped_storage().nbytes() for tensor in weights.values()} == {size}


def test_conversion_needs_no_timm():
    code = "import sys, benchmarks.checkpoints.convert; sys.exit('timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


def test_every_layout_is_in_the_gallery():
    text = (ROOT / "docs" / "checkpoints.md").read_text()
    assert [family.method for family in all_formats() if family.method not in text] == []
