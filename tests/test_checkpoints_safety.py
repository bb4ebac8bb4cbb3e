"""Files that want to be run, that lie about themselves, that are damaged: one clear line, never more."""

import io
import json
import os
import pickle
import random
import struct
import sys
import time
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from checkpoint_files import CASES, VIT, random_tensors, under
from safetensors.torch import save_file

from benchmarks.checkpoints.container import Inert, facts_of, open_foreign
from benchmarks.checkpoints.convert import convert_in_memory
from benchmarks.errors import InputError

FORMATS = Path(__file__).parent / "data" / "formats"


class Payload:
    """Unpickled by the book, it makes a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def foreign_things():
    return {
        "path": PurePosixPath("/a"),
        "counts": defaultdict(int, a=1),
        "scalar": np.float64(0.5),
        "array": np.arange(3.0),
        "set": {1, 2},
        "ordered": OrderedDict(a=1),
    }


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_a_hostile_file_is_read_and_not_run(form, tmp_path):
    tensor, proof, path = torch.arange(6.0).reshape(2, 3).T, tmp_path / "executed", tmp_path / "hostile.pth"
    content = {"teacher": {"w": tensor}, "args": Payload(proof), **foreign_things()}
    if form == "pickle":
        content["teacher"]["w"] = tensor.numpy()
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    opened = open_foreign(path)
    assert torch.equal(opened.content["teacher"]["w"], tensor)
    assert any("system" in name for name in opened.foreign_globals)
    assert isinstance(opened.content["args"], Inert)
    assert not proof.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_every_type_and_view_comes_out_as_it_was(zipped, tmp_path):
    base = torch.randn(6, 4)
    content = {
        str(dtype): base.to(dtype) for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool)
    }
    content |= {"view": base[1:, 2], "transposed": base.T, "scalar": torch.tensor(3), "empty": torch.zeros(0, 3)}
    content |= {"parameter": torch.nn.Parameter(base), "twice": base, "again": base}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    opened = open_foreign(tmp_path / "x.pth")
    assert opened.foreign_globals == ()
    for name, tensor in content.items():
        assert torch.equal(opened.content[name], tensor), name
        assert opened.content[name].dtype == tensor.dtype
    assert opened.content["twice"].data_ptr() == opened.content["again"].data_ptr()


def test_old_pickles_with_arrays_are_read(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "f": np.asfortranarray(np.arange(6.0).reshape(2, 3))}
    for protocol in (2, 3, 4, 5):
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(arrays, protocol))
        opened = open_foreign(tmp_path / "x.pkl")
        assert all(np.array_equal(opened.content[name].numpy(), array) for name, array in arrays.items())
        assert any("numpy" in name for name in opened.foreign_globals)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": np.array([Payload(tmp_path / "no")], dtype=object)}))
    with pytest.raises(InputError):
        open_foreign(tmp_path / "x.pkl")
    assert not (tmp_path / "no").exists()


def test_names_of_numpy_1_and_2_are_both_read(tmp_path):
    data = pickle.dumps({"w": np.ones((2, 2), np.float32)}, 2)
    for name in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        (tmp_path / "x.pkl").write_bytes(data.replace(b"numpy._core.multiarray", name))
        assert torch.equal(open_foreign(tmp_path / "x.pkl").content["w"], torch.ones(2, 2))


def test_saved_arguments_stay_readable():
    inert = Inert()
    inert.__setstate__({"arch": "vit_small"})
    inert["MODEL"] = 1
    assert facts_of(inert) == {"arch": "vit_small", "MODEL": 1}
    assert facts_of(None) == {}


def rewritten(path, change):
    """The zip file with its parts changed by ``change(name, bytes) -> bytes or None``."""
    parts = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            data = change(member.filename, archive.read(member))
            if data is not None:
                parts[member.filename] = data
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    "change",
    [
        lambda name, data: data[:-4] if name.endswith("data/0") else data,
        lambda name, data: None if name.endswith("data/0") else data,
        lambda name, data: None if name.endswith("data.pkl") else data,
        lambda name, data: data[:-9] if name.endswith("data.pkl") else data,
        lambda name, data: b"big" if name.endswith("byteorder") else data,
    ],
    ids=["short values", "no values", "no pickle", "cut pickle", "big-endian"],
)
def test_a_zip_with_a_broken_part_is_refused(change, tmp_path):
    torch.save(random_tensors(VIT), tmp_path / "x.pth")
    rewritten(tmp_path / "x.pth", change)
    with pytest.raises(InputError):
        open_foreign(tmp_path / "x.pth")


def test_a_tensor_that_reaches_beyond_its_values_is_refused(tmp_path):
    class Lie:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (storage, 0, (1 << 40,), (0,), False, OrderedDict())

    storage = torch.storage.TypedStorage(
        wrap_storage=torch.arange(4.0).untyped_storage(), dtype=torch.float32, _internal=True
    )
    for zipped in (True, False):
        torch.save({"x": Lie()}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(InputError, match="larger than its stored values"):
            open_foreign(tmp_path / "x.pth")


def test_a_compressed_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", pickle.dumps({"a": "b" * 1000}))
    with pytest.raises(InputError, match="compressed"):
        open_foreign(tmp_path / "x.pth")


def test_nested_and_cyclic_containers_end(tmp_path):
    deep = loop = {}
    for _ in range(300):
        deep["x"] = {}
        deep = deep["x"]
    deep["x"] = loop
    shared = [random_tensors(VIT)]
    for _ in range(60):  # 2^60 paths lead to the tensors
        shared = [shared, shared]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"loop": loop}))
    torch.save({"model": random_tensors(VIT), "args": shared}, tmp_path / "y.pth")
    start = time.monotonic()
    with pytest.raises(InputError):
        convert_in_memory(tmp_path / "x.pkl", 6)
    convert_in_memory(tmp_path / "y.pth", 6)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "name",
    ["model_0012499.rank_0.pth", "teacher.rank_3.pth", "zero_pp_rank_0_mp_rank_00_optim_states.pt", "__0_0.distcp"],
)
def test_shards_of_a_distributed_run_are_refused_by_name(name, tmp_path):
    torch.save(random_tensors(VIT), tmp_path / name)
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(InputError, match="one shard of a distributed run"):
            convert_in_memory(source, 6)


def test_what_fsdp_leaves_is_refused_by_name(tmp_path):
    weights = under("_fsdp_wrapped_module.", {"flat_param": torch.ones(9)})
    torch.save({"model": weights}, tmp_path / "x.pth")
    with pytest.raises(InputError, match="one shard of a distributed run"):
        convert_in_memory(tmp_path / "x.pth", 6)


# --- folders ------------------------------------------------------------


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


# --- a thousand damaged files ------------------------------------------------------------


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
