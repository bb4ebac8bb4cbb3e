"""Folders of torch.distributed.checkpoint, written by torch itself and taken apart by hand, are read and not run."""

import io
import os
import pickle

import pytest
import torch
import torch.distributed.checkpoint as dcp
from library_files import dinov2_vit, meta_arch, vit
from test_checkpoints_libraries import assert_same_features
from torch.distributed.checkpoint.filesystem import _StorageInfo
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)

from benchmarks.checkpoints.container import open_foreign
from benchmarks.checkpoints.convert import convert_in_memory
from benchmarks.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore")


def dinov3_training(tensors):
    """What DINOv3's checkpointer hands to ``dcp.save``."""
    state = {"student.backbone.cls_token": {"exp_avg": torch.ones(1, 1, 24), "step": torch.tensor(3.0)}}
    optimizer = {"state": state, "param_groups": [{"lr": 0.1, "params": ["a"]}]}
    model = meta_arch(tensors | {"mask_token": torch.zeros(1, 24)}, "teacher", "model_ema")
    return {"iteration": 9, "model": model, "optimizer": optimizer}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("dcp") / "ckpt" / "9"
    network = dinov2_vit()
    dcp.save(dinov3_training(dict(network.state_dict())), checkpoint_id=path, no_dist=True)
    return path, network


def test_a_training_folder_converts(folder):
    path, network = folder
    card = assert_same_features(path, network)
    assert card.branch == "model.teacher.backbone"
    ledger = convert_in_memory(path, 6).ledger
    assert next(aside for aside in ledger.asides if aside.name == "optimizer").tensors == 2


def test_so_does_what_dcp_to_torch_makes_of_it(folder, tmp_path):
    path, network = folder
    dcp_to_torch_save(path, tmp_path / "x.pth")
    assert assert_same_features(tmp_path / "x.pth", network).branch == "model.teacher.backbone"


def test_the_optimizer_is_not_read(folder):
    content = open_foreign(folder[0]).content
    assert content["optimizer"]["state"]["student.backbone.cls_token"]["exp_avg"].device.type == "meta"


def by_hand(folder, tensors, ranks=2, change=None):
    """A checkpoint of several processes, each with its rows of every tensor that it can share."""
    folder.mkdir(exist_ok=True)
    told, where = {}, {}
    streams = [io.BytesIO() for _ in range(ranks)]
    for name, tensor in tensors.items():
        shares = tensor.chunk(ranks) if tensor.ndim and tensor.shape[0] >= ranks else (tensor,)
        chunks, row = [], 0
        for rank, share in enumerate(shares):
            offset = torch.Size((row, *(0,) * (tensor.ndim - 1)) if tensor.ndim else ())
            start = streams[rank].tell()
            torch.save(share.clone(), streams[rank])
            length = streams[rank].tell() - start
            where[MetadataIndex(name, offset, rank)] = _StorageInfo(f"__{rank}_0.distcp", start, length)
            chunks.append(ChunkStorageMetadata(offset, share.shape))
            row += share.shape[0] if share.ndim else 0
        told[name] = TensorStorageMetadata(TensorProperties(tensor.dtype), tensor.shape, chunks)
    plan = Metadata(told, {name: ("model", name) for name in told}, where)
    if change:
        change(plan)
    (folder / ".metadata").write_bytes(pickle.dumps(plan))
    for rank, stream in enumerate(streams):
        (folder / f"__{rank}_0.distcp").write_bytes(stream.getvalue())


def test_tensors_are_put_together_from_all_processes(tmp_path):
    network = vit()
    by_hand(tmp_path / "x", dict(network.state_dict()), 3)
    assert_same_features(tmp_path / "x", network)


def test_a_part_alone_names_its_folder(tmp_path):
    by_hand(tmp_path / "x", dict(vit().state_dict()))
    with pytest.raises(InputError, match="give that folder"):
        convert_in_memory(tmp_path / "x" / "__1_0.distcp", 6)
    (tmp_path / "x" / "__1_0.distcp").unlink()
    with pytest.raises(InputError, match=r"lacks __1_0\.distcp"):
        convert_in_memory(tmp_path / "x", 6)
    (tmp_path / "x" / ".metadata").unlink()
    with pytest.raises(InputError, match="one shard of a distributed run"):
        convert_in_memory(tmp_path / "x", 6)


def _outside(plan):
    for place in plan.storage_data.values():
        place.relative_path = "../elsewhere.distcp"


def _beyond(plan):
    for place in plan.storage_data.values():
        place.offset += 1 << 40


def _huge(plan):
    told = plan.state_dict_metadata["cls_token"]
    told.size = torch.Size((1 << 40, 1, 24))
    told.chunks = [ChunkStorageMetadata(torch.Size((0, 0, 0)), torch.Size((1 << 39, 1, 24)))] * 2


def _overlapping(plan):
    told = plan.state_dict_metadata["patch_embed.proj.weight"]
    told.chunks = [told.chunks[0]] * 2


def _missing(plan):
    plan.storage_data = {}


@pytest.mark.parametrize("change", [_outside, _beyond, _huge, _overlapping, _missing])
def test_metadata_that_lies_is_refused(change, tmp_path):
    by_hand(tmp_path / "x", dict(vit().state_dict()), change=change)
    with pytest.raises(InputError) as caught:
        convert_in_memory(tmp_path / "x", 6)
    assert len(str(caught.value).splitlines()) == 1


def test_metadata_that_wants_to_be_run_is_not(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'executed'}",)

    network = vit()
    by_hand(tmp_path / "x", dict(network.state_dict()), change=lambda plan: setattr(plan, "storage_meta", Payload()))
    assert "not run" in convert_in_memory(tmp_path / "x", 6).ledger.text()
    assert not (tmp_path / "executed").exists()
