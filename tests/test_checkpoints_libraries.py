"""Training files of the libraries convert as they are: the network is found, whatever its prefix is called."""

import json

import pytest
import torch
from checkpoint_files import other, under
from library_files import LIBRARIES, METHODS_OF_LIBRARIES, features_of, resnet, vit
from safetensors.torch import save_file

from benchmarks.backbones import load_backbone
from benchmarks.checkpoints.convert import convert_in_memory
from benchmarks.errors import InputError

IMAGES = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(1))


def heads_for(network):
    return getattr(network.blocks[0].attn, "num_heads", None) if hasattr(network, "blocks") else None


def assert_same_features(source, network, branch=None):
    """Within 1e-5 of what the library's network computes."""
    heads = heads_for(network)
    try:
        module, card = load_backbone(source, heads=heads, branch=branch)
    except InputError as error:
        if "leave --heads out" not in str(error):
            raise
        module, card = load_backbone(source, branch=branch)
    expected = features_of(network, IMAGES)
    with torch.inference_mode():
        got = module.patch_tokens(IMAGES)
    assert got.shape == expected.shape
    assert (got - expected).abs().max() < 1e-5 * max(1, expected.abs().max())
    return card


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_s_training_file_converts(name, tmp_path):
    library = LIBRARIES[name]
    network = library.network()
    path = tmp_path / ("mp_rank_00_model_states.pt" if name == "deepspeed" else "last.ckpt")
    torch.save(library.write(dict(network.state_dict())), path)
    card = assert_same_features(path, network)
    assert card.branch == library.branch
    assert card.method == METHODS_OF_LIBRARIES.get(name, card.method)
    if library.outside:
        ledger = convert_in_memory(path, heads_for(network)).ledger
        assert ledger.fates()[library.outside]["reason"].startswith(("outside the branch", "other branch", "training"))


@pytest.mark.parametrize("name", [name for name in LIBRARIES if LIBRARIES[name].network is vit])
def test_no_branch_gives_a_number_of_heads(name, tmp_path):
    """What a prefix is called must not supply them for a width that has several numbers of heads."""
    if name in ("timm_training", "ijepa"):
        pytest.skip("the file names its architecture, or its method by a mark")
    small = {"img_size": 16, "patch_size": 16, "embed_dim": 384, "depth": 2, "num_heads": 12}
    path = tmp_path / ("mp_rank_00_model_states.pt" if name == "deepspeed" else "last.ckpt")
    torch.save(LIBRARIES[name].write(dict(vit(**small).state_dict())), path)
    with pytest.raises(InputError, match="--heads"):
        convert_in_memory(path)


def test_several_networks_are_listed_and_chosen(tmp_path):
    one, two = vit(), vit(depth=3)
    torch.save({"left": dict(one.state_dict()), "right": under("net.", dict(two.state_dict()))}, tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"2 networks.*--branch: left \(2 blocks\), right\.net \(3 blocks\)"):
        convert_in_memory(tmp_path / "x.pth", 6)
    assert assert_same_features(tmp_path / "x.pth", one, "left").branch == "left"
    assert assert_same_features(tmp_path / "x.pth", two, "right.net").branch == "right.net"
    assert assert_same_features(tmp_path / "x.pth", two, "net.").branch == "right.net"
    with pytest.raises(InputError, match=r"there is: left, right\.net"):
        convert_in_memory(tmp_path / "x.pth", 6, "middle")


def test_a_teacher_of_another_shape_is_no_average(tmp_path):
    """Distillation: the large teacher is another network than the student that was trained."""
    student, teacher = vit(), vit(embed_dim=48)
    content = under("teacher.", dict(teacher.state_dict())) | under("student.", dict(student.state_dict()))
    torch.save({"state_dict": content}, tmp_path / "x.pth")
    with pytest.raises(InputError, match="2 networks"):
        convert_in_memory(tmp_path / "x.pth", 6)
    assert_same_features(tmp_path / "x.pth", student, "student")


def test_what_was_taken_and_what_not_is_said(tmp_path):
    network = vit()
    tensors = dict(network.state_dict())
    content = {"net": under("ema.", tensors) | under("online.", other(tensors)), "step": 3, "extra": torch.ones(2)}
    torch.save(content, tmp_path / "x.pth")
    ledger = convert_in_memory(tmp_path / "x.pth", 6).ledger
    assert (ledger.branch, ledger.other_branches) == ("net.ema", ("net.online",))
    assert "net.ema is taken, the average over training" in " ".join(ledger.card.notes)
    assert set(ledger.dropped.values()) == {"outside the branch"}
    assert len(ledger.loaded) + len(ledger.dropped) == len(content["net"])
    assert {aside.name: aside.reason for aside in ledger.asides} == {
        "extra": "outside the branch",
        "step": "training state",
    }


def test_a_stranger_inside_of_the_branch_is_refused(tmp_path):
    """Nothing is dropped without a reason: outside of the prefix is one, inside of it is none."""
    tensors = dict(vit().state_dict()) | {"blocks.0.adapter.weight": torch.ones(2)}
    torch.save({"a": under("module.b.", tensors)}, tmp_path / "x.pth")
    with pytest.raises(InputError, match="adapter"):
        convert_in_memory(tmp_path / "x.pth", 6)


def test_a_network_for_small_images_is_refused(tmp_path):
    """solo-learn gives ResNets for CIFAR a 3x3 stem without pooling, under the same names."""
    tensors = dict(resnet().state_dict())
    tensors["conv1.weight"] = torch.ones(16, 3, 3, 3)
    torch.save({"state_dict": under("backbone.", tensors)}, tmp_path / "x.pth")
    with pytest.raises(InputError, match="conv1"):
        convert_in_memory(tmp_path / "x.pth")


def test_a_folder_in_shards_needs_no_config(tmp_path):
    network = vit()
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    where = {}
    for i in range(2):
        part = dict(sorted(tensors.items())[i::2])
        save_file(part, tmp_path / f"model-0000{i + 1}-of-00002.safetensors")
        where |= dict.fromkeys(part, f"model-0000{i + 1}-of-00002.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    assert assert_same_features(tmp_path, network).branch == "model"


def test_deepspeed_s_folder_is_followed(tmp_path):
    network, step = vit(), tmp_path / "global_step7"
    step.mkdir()
    (tmp_path / "latest").write_text("global_step7")
    content = LIBRARIES["deepspeed"].write(dict(network.state_dict()))
    torch.save(content, step / "mp_rank_00_model_states.pt")
    torch.save({"optimizer_state_dict": {}}, step / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    assert_same_features(tmp_path, network)
    torch.save(content | {"mp_world_size": 2}, step / "mp_rank_00_model_states.pt")
    with pytest.raises(InputError, match="shard"):
        convert_in_memory(tmp_path, 6)
    (step / "mp_rank_00_model_states.pt").rename(step / "zero_pp_rank_0_mp_rank_00_model_states.pt")
    with pytest.raises(InputError, match=r"zero_to_fp32\.py"):
        convert_in_memory(tmp_path, 6)
