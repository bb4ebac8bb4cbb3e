"""Files that want to be run, that lie about themselves, that are damaged: one clear line, never more."""

import pickle
import time
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import torch
from checkpoint_files import VIT, random_tensors, under
from hostile import Payload

from benchmarks.checkpoints.container import Inert, facts_of, open_foreign
from benchmarks.checkpoints.convert import convert_in_memory
from benchmarks.errors import InputError

FORMATS = Path(__file__).parent / "data" / "formats"


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
