"""Files of other formats and other networks: each is called by its name, and the line says what to do."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from checkpoint_files import VIT, random_tensors, under
from library_files import PickledModel
from safetensors.torch import save_file

from benchmarks.checkpoints.convert import convert_in_memory
from benchmarks.errors import InputError


def torchscript(path):
    with zipfile.ZipFile(path, "w") as archive:  # what torch.jit.save writes, without its compiler
        for name in ("data.pkl", "code/__torch__/net.py", "constants.pkl", "version", "data/0"):
            archive.writestr(f"net/{name}", b"\x80\x02}q\x00.")


def npz_of_google(path):
    with open(path, "wb") as stream:
        np.savez(stream, **{"Transformer/encoderblock_0/LayerNorm_0/scale": np.ones(3), "embedding/kernel": np.ones(3)})


def other_npz(path):
    with open(path, "wb") as stream:
        np.savez(stream, features=np.ones(3))


def tar(path):
    with tarfile.open(path, "w") as archive:
        data = b"x" * 600
        member = tarfile.TarInfo("weights.pth")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))


def onnx(path):
    path.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.3.0:\xb4\x01" + bytes(range(200)))


def video(path):
    tensors = random_tensors(VIT) | {"patch_embed.proj.weight": torch.ones(24, 3, 2, 8, 8)}
    torch.save({"model": under("encoder.", tensors)}, path)


def lora_folder(path):
    path.mkdir()
    (path / "adapter_config.json").write_text("{}")
    save_file({"base_model.model.q.lora_A.weight": torch.ones(2, 2)}, path / "adapter_model.safetensors")


def quantised(path):
    tensors = random_tensors(VIT)
    tensors["blocks.0.attn.qkv.weight"] = tensors["blocks.0.attn.qkv.weight"].to(torch.int8)
    torch.save(tensors | {"blocks.0.attn.qkv.SCB": torch.ones(72)}, path)


def float8(path):
    tensors = random_tensors(VIT)
    save_file({name: t.to(torch.float8_e4m3fn) if t.ndim == 2 else t for name, t in tensors.items()}, path)


OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 86\n"
STRANGERS = {
    "torchscript": (torchscript, "x.pt", "TorchScript", "state dict"),
    "npz of Google": (npz_of_google, "x.npz", "NumPy archive of Flax", "timm:NAME"),
    "npz": (other_npz, "x.npz", "NumPy archive", "timm"),
    "HDF5": (
        lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)),
        "x.h5",
        "HDF5 file \\(Keras\\)",
        "PyTorch weights",
    ),
    "ONNX": (onnx, "x.onnx", "ONNX model", "weights that it was made from"),
    "ONNX by content": (onnx, "x.pth", "ONNX model", "weights that it was made from"),
    "LFS pointer": (lambda p: p.write_bytes(POINTER), "x.safetensors", "Git LFS pointer", "git lfs pull"),
    "LFS pointer as pth": (lambda p: p.write_bytes(POINTER), "x.pth", "Git LFS pointer", "git lfs pull"),
    "web page": (lambda p: p.write_text("<!DOCTYPE html><html>Quota exceeded</html>"), "x.pth", "web page", "browser"),
    "XML of a bucket": (lambda p: p.write_text("<?xml version='1.0'?><Error/>"), "x.pth", "web page", "link"),
    "GGUF": (lambda p: p.write_bytes(b"GGUF" + bytes(99)), "x.gguf", "GGUF", "original"),
    "gzip": (lambda p: p.write_bytes(b"\x1f\x8b\x08" + bytes(99)), "x.pth.gz", "gzip", "unpack"),
    "tar": (tar, "x.pth.tar", "tar archive", "unpack"),
    "msgpack": (lambda p: p.write_bytes(b"\x82\xa5" + bytes(99)), "flax_model.msgpack", "Flax", "model.safetensors"),
    "text": (lambda p: p.write_text("hello, this is a note"), "x.pth", "text", "check the path"),
    "zip of files": (
        lambda p: zipfile.ZipFile(p, "w").writestr("a/weights.pth", b"x"),
        "x.zip",
        "zip archive of other files",
        "unpack",
    ),
    "module": (
        lambda p: torch.save(PickledModel(), p),
        "x.pth",
        "whole pickled module \\(PickledModel\\)",
        "state_dict",
    ),
    "module in a dict": (
        lambda p: torch.save({"model": PickledModel()}, p),
        "x.pth",
        "whole pickled module",
        "state_dict",
    ),
    "optimizer": (lambda p: torch.save(OPTIMIZER, p), "x.pt", "state of an optimizer", "model's file"),
    "optimizer in a dict": (
        lambda p: torch.save({"optimizer": OPTIMIZER, "step": 3}, p),
        "x.pt",
        "optimizer",
        "model's",
    ),
    "video": (video, "x.pth", r"video network \(VideoMAE.*2 frames", "single images"),
    "LoRA": (
        lambda p: save_file({"base_model.model.q.lora_A.weight": torch.ones(2, 2)}, p),
        "x.safetensors",
        "LoRA adapter",
        "merge it",
    ),
    "LoRA folder": (lora_folder, "adapter", "LoRA adapter", "merge it"),
    "8 bits": (quantised, "x.pth", "quantised", "original"),
    "float8": (float8, "x.safetensors", "quantised", "original"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_is_called_by_its_name(name, tmp_path):
    write, file, what, way = STRANGERS[name]
    write(tmp_path / file)
    with pytest.raises(InputError, match=f"{what}.*{way}") as caught:
        convert_in_memory(tmp_path / file, 6)
    assert str(tmp_path / file) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_safetensors_file_is_known_by_its_content(tmp_path):
    save_file(random_tensors(VIT), tmp_path / "weights.pth")
    assert convert_in_memory(tmp_path / "weights.pth", 6).card.architecture == convert_from(tmp_path, "w.safetensors")


def convert_from(folder, name):
    save_file(random_tensors(VIT), folder / name)
    return convert_in_memory(folder / name, 6).card.architecture


def test_a_folder_without_a_checkpoint_names_its_files(tmp_path):
    torch.save(random_tensors(VIT), tmp_path / "epoch_1.pth")
    with pytest.raises(InputError, match=r"give one of its files \(epoch_1\.pth\)"):
        convert_in_memory(tmp_path, 6)
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match="copy the weights beside"):
        convert_in_memory(tmp_path, 6)
