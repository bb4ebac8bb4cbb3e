"""The device of a command: what was asked for, what there is, and what is said of it."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest
import torch
from in_process import run_tool

from benchmarks import devices
from benchmarks.devices import explain, resolve, say_device, usable_device
from benchmarks.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    return monkeypatch


def fails(message):
    def init():
        raise RuntimeError(message)

    return init


def test_auto_without_a_gpu_is_the_cpu(no_gpu):
    assert usable_device() == usable_device("auto") == torch.device("cpu")
    assert resolve("cuda:1") == "cuda:1"


def test_a_driver_that_is_too_old_is_said(no_gpu):
    message = "The NVIDIA driver on your system is too old (found version 12020). Please update your GPU driver\nby"
    no_gpu.setattr(torch.cuda, "init", fails(message))
    expected = f"cpu: torch {torch.__version__} finds no GPU ({message.split('. ')[0]})"
    assert explain() == explain("cpu") == expected


@pytest.mark.parametrize(("value", "words"), [("", "is empty"), ("-1", "is -1")])
def test_hidden_gpus_are_said(no_gpu, value, words):
    no_gpu.setenv("CUDA_VISIBLE_DEVICES", value)
    assert explain() == f"cpu: CUDA_VISIBLE_DEVICES {words}"


def test_a_torch_without_cuda_is_said(no_gpu):
    no_gpu.setattr(torch.version, "cuda", None)
    no_gpu.setattr(torch.version, "hip", None)
    assert explain() == f"cpu: torch {torch.__version__} is built without CUDA"


def test_a_gpu_is_named_and_a_cpu_beside_it_was_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Test")
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    assert resolve("auto") == "cuda"
    assert explain() == "cuda:0 NVIDIA Test"
    assert explain("cuda:1") == "cuda:1 NVIDIA Test"
    assert explain("cpu") == "cpu: as asked for"


def test_what_is_not_there_is_one_line():
    with pytest.raises(InputError, match="use --device cpu"):
        usable_device("cuda:99")
    with pytest.raises(InputError, match="nonsense"):
        usable_device("nonsense")


def test_it_is_said_once_and_by_the_first_process(monkeypatch, capsys):
    monkeypatch.setattr(devices, "_said", set())
    monkeypatch.setenv("RANK", "1")
    say_device("cpu")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("RANK", "0")
    say_device("cpu")
    say_device(torch.device("cpu"))
    assert capsys.readouterr().err == f"device: {explain('cpu')}\n"


def test_a_regression_against_stored_values_hides_the_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    for tier, seen in (("instant", "0"), ("inference", "")):
        done = run_tool("ci_regression.py", "--tier", tier, "--only", "nothing", "--out", tmp_path)
        assert done.returncode == 2
        assert os.environ["CUDA_VISIBLE_DEVICES"] == seen, tier


@pytest.mark.parametrize("tool", sorted(path.name for path in (ROOT / "tools").glob("*.py")))
def test_a_tool_that_takes_a_device_takes_auto(tool, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", [tool, "--help"])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / "tools" / tool), run_name="__main__")
    text = capsys.readouterr().out
    assert "--device" not in text or "auto (a GPU where there is one), cpu, cuda or cuda:N (default: auto)" in text
