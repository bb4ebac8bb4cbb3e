"""A thousand damaged files: each loads or is refused in one line, in little memory and time."""

import io
import os
import pickle
import random
import struct
import sys
from pathlib import Path

import pytest
import torch
from checkpoint_files import CASES, random_tensors
from hostile import Payload

from benchmarks.checkpoints.container import open_foreign
from benchmarks.checkpoints.convert import convert_in_memory
from benchmarks.errors import InputError

FORMATS = Path(__file__).parent / "data" / "formats"


def seeds():
    """Small files of every container: zip, legacy, pickle with arrays, safetensors."""
    files = {}
    for name in ("dino_full", "mocov3", "dinov2_registers", "moby", "resnet_detectron2"):
        case = CASES[name]
        content = case.write(case.values(random_tensors(case.architecture)))
        stream = io.BytesIO()
        torch.save(content, stream, _use_new_zipfile_serialization=name != "mocov3")
        files[f"{name}.pth"] = stream.getvalue(), case.heads
    case = CASES["resnet_detectron2"]
    weights = case.write(random_tensors(case.architecture))["model"]
    arrays = {name: tensor.numpy() for name, tensor in weights.items()}
    files["d2.pkl"] = pickle.dumps({"model": arrays, "__author__": "x"}), None
    files["hf.safetensors"] = (FORMATS / "hf_dinov2" / "model.safetensors").read_bytes(), 3
    return files


def mutate_bytes(data, rng):
    data = bytearray(data)
    # headers and pickles are small: aim half of the changes at the ends of the file
    for _ in range(rng.choice((1, 1, 3, 20))):
        where = (
            rng.randrange(len(data))
            if rng.random() < 0.5
            else rng.choice((1, -1)) * rng.randrange(1, min(4000, len(data)))
        )
        data[where] = rng.choice((0, 255, data[where] ^ (1 << rng.randrange(8)), rng.randrange(256)))
    if rng.random() < 0.2:
        del data[rng.randrange(len(data)) :]
    if rng.random() < 0.1:
        at = rng.randrange(len(data) + 1)
        data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 40)))
    return bytes(data)


def mutate_content(content, rng):
    """Change a key, a shape, a type or a container of a file's object."""
    places = [(holder, key) for holder in holders(content) for key in holder]
    tensors = [(holder, key) for holder, key in places if isinstance(holder[key], torch.Tensor)]
    holder, key = rng.choice(tensors if rng.random() < 0.8 else places)
    value = holder[key]
    change = rng.randrange(9)
    if change == 0:
        del holder[key]
    elif change == 1:
        holder[str(key) + rng.choice(("x", ".weight", "")) + rng.choice(("", "0"))] = holder.pop(key)
    elif change == 2:
        holder[key] = rng.choice((None, 3, "text", [value], {"x": value}, (value, value)))
    elif isinstance(value, torch.Tensor):
        choices = (
            lambda: value.T if value.ndim == 2 else value.flatten(),
            lambda: value[:-1] if value.ndim else value[None],
            lambda: value.to(rng.choice((torch.int8, torch.bool, torch.float64, torch.float16, torch.complex64))),
            lambda: value * float("nan"),
            lambda: value[None].expand(3, *value.shape),
            lambda: value.new_zeros(()),
        )
        holder[key] = choices[change - 3]()
    return content


def holders(content):
    if isinstance(content, dict):
        yield content
        for value in content.values():
            yield from holders(value)


def outcome(path, heads):
    """``loaded``, or the one line of refusal; anything else is a failure."""
    try:
        converted = convert_in_memory(path, heads)
        for name in converted.tensors:
            assert torch.isfinite(converted.tensors[name]).all()
        return "loaded"
    except InputError as error:
        line = str(error)
        assert 20 < len(line) < 1000
        assert len(line.splitlines()) == 1
        assert "contradicts itself" not in line  # the net below all checks: each of these should have a line of its own
        return "refused"


def test_a_thousand_damaged_files_each_load_or_say_one_line(tmp_path, monkeypatch):
    executed = []
    monkeypatch.setattr(os, "system", executed.append)
    rng = random.Random(0)
    files = seeds()
    contents = {name: CASES[name] for name in ("dino_full", "dinov2", "mocov3", "msn", "dinov3", "resnet_densecl_raw")}
    outcomes = {"loaded": 0, "refused": 0}
    for round_ in range(1000):
        if round_ % 2:
            name = rng.choice(sorted(files))
            data, heads = files[name]
            path = tmp_path / f"m{Path(name).suffix}"
            path.write_bytes(mutate_bytes(data, rng))
        else:
            case = contents[rng.choice(sorted(contents))]
            heads, path = case.heads, tmp_path / "m.pth"
            content = mutate_content(case.write(case.values(random_tensors(case.architecture))), rng)
            if rng.random() < 0.3:
                content = {rng.choice(("model", "teacher", "state_dict", "junk")): content, "args": Payload("x")}
            torch.save(content, path, _use_new_zipfile_serialization=rng.random() < 0.7)
        outcomes[outcome(path, heads)] += 1
    assert not executed
    assert outcomes["loaded"] > 50
    assert outcomes["refused"] > 300


@pytest.mark.parametrize("size", [1, 2, 7, 64, 5000])
@pytest.mark.parametrize("start", [b"", b"PK", b"PK\x03\x04", b"\x80\x02", b"\x80\x05\x95"])
def test_random_bytes_are_refused(size, start, tmp_path):
    data = start + random.Random(size).randbytes(size)
    for suffix in (".pth", ".pkl", ".safetensors"):
        path = tmp_path / f"x{suffix}"
        path.write_bytes(data)
        assert outcome(path, 6) == "refused"


def test_a_length_that_lies_costs_no_memory(tmp_path):
    stream = io.BytesIO()
    torch.save({"w": torch.ones(3)}, stream, _use_new_zipfile_serialization=False)
    data = stream.getvalue()
    at = data.rindex(struct.pack("<q", 3))
    (tmp_path / "x.pth").write_bytes(data[:at] + struct.pack("<q", 1 << 60) + data[at + 8 :])
    with pytest.raises(InputError, match="cut short"):
        open_foreign(tmp_path / "x.pth")
    (tmp_path / "y.safetensors").write_bytes(struct.pack("<Q", sys.maxsize) + b"{}")
    with pytest.raises(InputError):
        open_foreign(tmp_path / "y.safetensors")
