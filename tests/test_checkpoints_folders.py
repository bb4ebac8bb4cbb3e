"""Checkpoints in folders: shards, configs beside them, and what is missing or does not fit."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.checkpoints.container import open_foreign
from benchmarks.checkpoints.convert import convert_in_memory
from benchmarks.errors import InputError

FORMATS = Path(__file__).parent / "data" / "formats"


def hf_folder(folder, shards=0, **changes):
    folder.mkdir(exist_ok=True)
    source = FORMATS / "hf_dinov2"
    config = json.loads((source / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v != "gone"}))
    data = (source / "model.safetensors").read_bytes()
    if not shards:
        (folder / "model.safetensors").write_bytes(data)
        return
    tensors = open_foreign(source).content
    names = sorted(tensors)
    where = {}
    for i in range(shards):
        part = {name: tensors[name].clone() for name in names[i::shards]}
        save_file(part, folder / f"part-{i}.safetensors")
        where |= dict.fromkeys(part, f"part-{i}.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))


def test_mean_and_std_come_from_the_preprocessor(tmp_path):
    hf_folder(tmp_path / "x")
    plain = convert_in_memory(tmp_path / "x").card
    assert "ImageNet's are taken" in " ".join(plain.notes)
    assert plain.provenance["mean"] == "table"
    aside = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (tmp_path / "x" / "preprocessor_config.json").write_text(json.dumps(aside))
    told = convert_in_memory(tmp_path / "x").card
    assert (told.mean, told.std, told.provenance["mean"]) == ((0.5,) * 3, (0.25,) * 3, "file")
    assert told.source_sha256 != plain.source_sha256


def test_a_folder_in_shards_is_the_same_network(tmp_path):
    hf_folder(tmp_path / "one")
    hf_folder(tmp_path / "three", 3)
    one, three = (convert_in_memory(tmp_path / name) for name in ("one", "three"))
    assert one.card.architecture == three.card.architecture
    assert all(torch.equal(one.tensors[name], three.tensors[name]) for name in one.tensors)
    # the file inside of the folder is the same source
    inside = convert_in_memory(tmp_path / "one" / "model.safetensors")
    assert inside.card.architecture == one.card.architecture


@pytest.mark.parametrize(
    "changes",
    [
        {"num_attention_heads": "gone"},
        {"num_attention_heads": "three"},
        {"num_attention_heads": 5},
        {"layer_norm_eps": None},
        {"hidden_act": "mish"},
        {"hidden_size": 64},
        {"num_hidden_layers": 3},
        {"patch_size": 16},
        {"image_size": 64},
        {"model_type": "clip"},
        {"model_type": "beit"},
        {"model_type": "vit"},
        {"use_swiglu_ffn": True},
    ],
    ids=str,
)
def test_a_config_that_does_not_fit_is_refused(changes, tmp_path):
    hf_folder(tmp_path / "x", **changes)
    with pytest.raises(InputError):
        convert_in_memory(tmp_path / "x")


def test_heads_against_config_json_are_refused(tmp_path):
    hf_folder(tmp_path / "x")
    with pytest.raises(InputError, match="says 3 heads"):
        convert_in_memory(tmp_path / "x", 6)


def test_a_folder_that_is_not_whole_is_refused(tmp_path):
    hf_folder(tmp_path / "x", 3)
    (tmp_path / "x" / "part-1.safetensors").unlink()
    with pytest.raises(InputError, match="part-1"):
        convert_in_memory(tmp_path / "x")
    index = tmp_path / "x" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../one/model.safetensors"}}))
    with pytest.raises(InputError, match="out of its folder"):
        convert_in_memory(tmp_path / "x")
    (tmp_path / "x" / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json is not valid JSON"):
        convert_in_memory(tmp_path / "x")
    (tmp_path / "x" / "config.json").unlink()
    index.unlink()
    with pytest.raises(InputError, match=r"without config\.json"):
        convert_in_memory(tmp_path / "x")


def test_weights_without_their_config_are_refused(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes((FORMATS / "hf_dinov2" / "model.safetensors").read_bytes())
    with pytest.raises(InputError, match=r"config\.json"):
        convert_in_memory(tmp_path / "weights.safetensors", 3)
