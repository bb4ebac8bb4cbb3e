"""Checkpoints by name, against a hub on this machine: fetched, resumed, found again without a network, or one line."""

import hashlib
import io
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from checkpoint_files import VIT, random_tensors
from local_hub import COMMIT, local_hub
from safetensors.torch import save

from benchmarks.checkpoints.canonical import read_canonical
from benchmarks.checkpoints.convert import canonical, convert_in_memory
from benchmarks.checkpoints.formats import all_formats
from benchmarks.checkpoints.sources import is_name, known, locate, web
from benchmarks.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(__file__).parent / "data" / "formats" / "hf_dinov2"
REPOSITORY = "facebook/dinov2-tiny"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub, and the environment of a command that uses it, with caches of its own."""
    with local_hub() as served:
        files = {name: (FOLDER / name).read_bytes() for name in ("config.json", "model.safetensors")}
        served.repository(REPOSITORY, files)
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            monkeypatch.delenv(name, raising=False)
        torch.hub.set_dir(str(tmp_path / "torch" / "hub"))
        yield served


def run(*arguments, **environment):
    """A command, as a process of its own: huggingface_hub reads its settings when it is imported."""
    command = [sys.executable, ROOT / "tools" / "convert.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def test_a_name_of_the_hub_from_command_to_card_and_again_without_a_network(hub, tmp_path):
    out = tmp_path / "c.safetensors"
    hub.cut = 1
    done = run(f"hf:{REPOSITORY}", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "model.safetensors" in done.stderr  # progress
    # It was cut and asked for again: from the start, as huggingface_hub keeps whole chunks of 10 MB only.
    assert sum(method == "GET" and "/cdn/" in path for method, path, _ in hub.asked) == 2
    card = read_canonical(out)[1]
    assert (card.source_name, card.source_revision) == (f"hf:{REPOSITORY}", COMMIT)
    local = convert_in_memory(FOLDER).card
    assert (card.source_sha256, card.architecture) == (local.source_sha256, local.architecture)

    hub.asked.clear()
    done = run(f"hf:{REPOSITORY}", "--out", tmp_path / "again.safetensors", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    assert hub.asked == []
    assert (tmp_path / "again.safetensors").read_bytes() == out.read_bytes()


def test_a_large_download_goes_on_from_where_it_was_cut(hub, tmp_path):
    """24 MB, cut at 12: huggingface_hub keeps whole chunks of 10 MB and asks for the rest."""
    data = random.Random(0).randbytes(24_000_000)
    hub.repository("some/large", {"weights.bin": data})
    hub.cut = 1
    fetch = "from benchmarks.checkpoints.sources import locate; locate('hf:some/large/weights.bin')"
    subprocess.run([sys.executable, "-c", fetch], capture_output=True, check=True, env=os.environ)
    ranges = [wanted for method, path, wanted in hub.asked if method == "GET" and "/cdn/" in path]
    assert ranges == [None, f"bytes={10 << 20}-"]
    (kept,) = (tmp_path / "hf").rglob("weights.bin")
    assert kept.read_bytes() == data


def refusal(done):
    assert done.returncode == 2
    lines = [line for line in done.stderr.strip().splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    return lines[0]


def test_what_the_hub_refuses_ends_in_one_line_with_the_way_out(hub, tmp_path):
    out = tmp_path / "c.safetensors"
    hub.gated.add("facebook/gated")
    hub.repository("facebook/gated", {"config.json": b"{}"})
    hub.repository("facebook/other", {"README.md": b"x"})
    gated = refusal(run("hf:facebook/gated", "--out", out))
    assert "gated" in gated
    assert "HF_TOKEN" in gated
    assert "give their path" in gated
    assert "no such repository" in refusal(run("hf:facebook/nothing", "--out", out))
    assert "no such revision" in refusal(run(f"hf:{REPOSITORY}@v9", "--out", out))
    assert "has none of model.safetensors" in refusal(run("hf:facebook/other", "--out", out))
    offline = refusal(run("hf:facebook/never-seen", "--out", out, HF_HUB_OFFLINE="1"))
    assert "not in the cache" in offline
    assert "connect once" in offline
    assert not out.exists()


def test_timm_s_names_are_its_repositories(hub, tmp_path):
    settings = {"architecture": "vit_small_patch8_224", "model_args": {"num_heads": 6, "embed_dim": 24, "depth": 2}}
    settings["model_args"] |= {"img_size": 48, "patch_size": 8}
    files = {"config.json": json.dumps(settings).encode(), "model.safetensors": save(random_tensors(VIT))}
    hub.repository("timm/vit_tiny.test", files)
    done = run("timm:vit_tiny.test", "--out", tmp_path / "c.safetensors")
    assert done.returncode == 0, done.stderr
    assert read_canonical(tmp_path / "c.safetensors")[1].source_name == "timm:vit_tiny.test"


# --- addresses ------------------------------------------------------------


def weights():
    stream = io.BytesIO()
    torch.save(random_tensors(VIT), stream)
    return stream.getvalue()


def test_an_address_is_fetched_once_and_goes_on_after_a_cut(hub, tmp_path):
    data = weights()
    hub.files["/weights/checkpoint.pth"] = data
    hub.files["/other/checkpoint.pth"] = data[:-1] + b"x"
    source = f"{hub.address}/weights/checkpoint.pth?token=secret"
    hub.cut = 2
    located = locate(source)
    assert located.path.read_bytes() == data
    ranges = [wanted for _, path, wanted in hub.asked if path.startswith("/weights")]
    assert ranges[0] is None
    assert all(wanted for wanted in ranges[1:])
    assert len(ranges) == 3
    assert "secret" not in located.name
    hub.asked.clear()
    assert locate(source).path == located.path
    assert hub.asked == []
    # the same last name of another address is another file
    assert locate(f"{hub.address}/other/checkpoint.pth").path != located.path
    card = convert_in_memory(source, 6).card
    assert card.source_name == f"{hub.address}/weights/checkpoint.pth"
    assert card.source_sha256 == hashlib.sha256(data).hexdigest()
    assert canonical(source, 6, tmp_path).name.startswith("127")


def test_a_part_of_another_file_is_not_gone_on_with(hub):
    old, new = weights(), weights()[::-1]
    hub.files["/w/x.pth"] = old
    hub.cut = web.TRIES
    address = f"{hub.address}/w/x.pth"
    with pytest.raises(InputError, match="goes on where it stopped"):
        locate(address)
    hub.files["/w/x.pth"] = new
    hub.cut = 0
    assert len(locate(address).path.read_bytes()) == len(new)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/missing.pth", "is not there"),
        ("/page.pth", "is a web page"),
        ("/gated/repository/x.pth", "needs a login"),
        ("/good.pth#sha256=" + "0" * 64, "has the sha256"),
        ("/good.pth#md5=0", "after # only sha256="),
    ],
)
def test_an_address_that_gives_no_checkpoint_is_one_line(path, line, hub):
    hub.files["/page.pth"] = b"<html>log in</html>"
    hub.files["/good.pth"] = weights()
    hub.gated.add("gated/repository")
    with pytest.raises(InputError, match=line):
        locate(hub.address + path)
    assert not list(Path(torch.hub.get_dir()).rglob("*good.pth"))


def test_a_network_that_is_not_there_is_one_line(hub, monkeypatch):
    with pytest.raises(InputError, match="copy the file to this machine"):
        locate("http://127.0.0.1:9/x.pth")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):
        locate(f"{hub.address}/x.pth")
    with pytest.raises(InputError, match="https:// is needed"):
        locate("http://example.com/x.pth")


def test_torch_hub_s_entries_are_weights_without_code(hub, monkeypatch):
    data = weights()
    hub.files["/dino/dino_tiny.pth"] = data
    entry = known.Known("dino-tiny", "DINO", "hub:a/b:dino_tiny", "Apache-2.0", None, None, "vit", 24, 2, 8, 6,
                        address=f"{hub.address}/dino/dino_tiny.pth")  # fmt: skip
    monkeypatch.setattr(known, "known_entries", lambda: (entry,))
    monkeypatch.setattr(web, "known_entries", lambda: (entry,))
    card = convert_in_memory("hub:a/b:dino_tiny").card  # no --heads: the list says which network it is
    assert (card.method, card.architecture.num_heads, card.provenance["num_heads"]) == ("DINO", 6, "table")
    assert (Path(torch.hub.get_dir()) / "checkpoints" / "dino_tiny.pth").read_bytes() == data  # torch finds it, too
    with pytest.raises(InputError, match=r"its repository's code is not run.*dino_tiny"):
        locate("hub:a/b:other")
    wider = known.Known(**{**entry.__dict__, "width": 384})
    monkeypatch.setattr(known, "known_entries", lambda: (wider,))
    with pytest.raises(InputError, match="should be ViT 384x2"):
        convert_in_memory("hub:a/b:dino_tiny")


def test_a_path_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("hf:x").write_bytes(b"")
    assert not is_name("hf:x")
    assert not is_name("runs/x.pth")
    for name in ("hf:x/y/z w", "hf:alone", "hub:a"):
        with pytest.raises(InputError):
            locate(name)


def test_the_list_is_whole():
    entries = known.known_entries()
    assert len({entry.name for entry in entries}) == len(entries) > 60
    methods = {family.method for family in all_formats()}
    assert {"DINO", "iBOT", "MAE", "MoCo-v3", "SelfPatch", "DINOv2", "Franca", "CrIBo"} <= methods
    for entry in entries:
        assert entry.by_hand or is_name(entry.source)
        assert not entry.source.startswith("hub:") or entry.address
    text = known.table_of_known()
    assert "mocov3-vits16" in text
    assert "12 heads" in text
    done = run("--list")
    assert done.returncode == 0
    assert done.stdout.strip() == text
