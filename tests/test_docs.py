"""Every command in the README, in docs/ and in each ``--help`` is one that exists; the cheap ones are run."""

from __future__ import annotations

import argparse
import ast
import contextlib
import datetime
import functools
import io
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest
import torch
from in_process import run_tool

from benchmarks import shapes
from benchmarks.controls import write_random_control
from benchmarks.core.model import load_model
from benchmarks.core.result import free_result
from pretrain.config import load_config

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
STARTS = ("python ", "torchrun ", "make ", "flsl-bench ")
#: Folders of the repository: a path into one of them must exist.
OURS = ("benchmarks", "docs", "pretrain", "tests", "third_party_configs", "tools")


class Command(NamedTuple):
    """A command line and the page that shows it."""

    page: str
    line: str


def code_blocks(page: Path) -> list[list[str]]:
    """The indented blocks of a Markdown page."""
    blocks: list[list[str]] = [[]]
    for line in page.read_text(encoding="utf-8").splitlines():
        if re.match(r" {4,}\S", line) and not re.match(r" *[-*|] ", line):
            blocks[-1].append(line.strip())
        else:
            blocks.append([])
    return [block for block in blocks if block]


def commands_of(block: list[str]) -> list[str]:
    """The commands of a block, continued lines put together; a block that is no command has none."""
    lines = "\n".join(block).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(STARTS)]


COMMANDS = [Command(page.name, line) for page in PAGES for block in code_blocks(page) for line in commands_of(block)]


class Caught(Exception):
    """A parser, at the moment when its program would use it, and the method that it would call."""


@functools.cache
def parser_of(program: str) -> argparse.ArgumentParser:
    """The argument parser of a program of the repository, by running it until it parses."""

    def catch(self, *arguments, **options):
        raise Caught(self)

    name, *words = program.split()
    beside = mock.patch.object(sys, "path", [str((ROOT / name).parent), *sys.path])  # as python itself does
    with mock.patch.multiple(argparse.ArgumentParser, parse_args=catch, parse_intermixed_args=catch):
        with beside, mock.patch.object(sys, "argv", [name, *words]):
            try:
                runpy.run_path(str(ROOT / name), run_name="__main__")
            except Caught as caught:
                return caught.args[0]
    raise AssertionError(f"{program} parses no arguments")


#: Modules that take no arguments.
WITHOUT_ARGUMENTS = ("benchmarks.installation",)


def suite_command(words: list[str]) -> tuple[str, list[str]]:
    """The program of a sub-command of flsl-bench, as :func:`parser_of` takes it, and its arguments."""
    own = 2 if words[0] == "table" else 1
    return " ".join(["benchmarks/__main__.py", *words[:own]]), words[own:]


def check_arguments(program: str, arguments: list[str]) -> argparse.Namespace:
    """Parse ``arguments`` as ``program`` does; what it would refuse fails the test with argparse's words."""
    assert "..." not in arguments, "an abbreviated command cannot be pasted"
    for word in arguments:
        path = word.rpartition("=")[2]
        if path.split("/")[0] in OURS and "/" in path:
            assert (ROOT / path).exists(), f"{path} is not in the repository"
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            return parser_of(program).parse_intermixed_args(arguments)
        except SystemExit:
            raise AssertionError(errors.getvalue()) from None


def check_python(code: str) -> None:
    """Code of ours: every import exists, and every call of a function of ours fits its signature."""
    scope: dict[str, object] = {}
    for node in ast.parse(code).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            exec(compile(ast.Module([node], []), "docs", "exec"), scope)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Call) and not any(isinstance(part, ast.Call) for part in ast.walk(node.func)):
            function = eval(compile(ast.Expression(node.func), "docs", "eval"), scope)
            mock.create_autospec(function)(*node.args, **{keyword.arg: keyword.value for keyword in node.keywords})


def check(line: str) -> None:
    """One command of a page."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        text = (ROOT / "Makefile").read_text()
        assert all(re.search(rf"^{target}:", text, re.MULTILINE) for target in words[1:] if "=" not in target)
        return
    if words[0] == "flsl-bench":
        words = ["python", "-m", "benchmarks", *words[1:]]
    if words[0] == "torchrun":
        words = ["python", *words[1:]]
        while words[1].startswith("--"):
            del words[1]
    if words[1] == "-c":
        check_python(words[2])
    elif words[1] == "-m" and words[2] == "pretrain":
        arguments = check_arguments("pretrain/__main__.py", words[3:])
        load_config(ROOT / arguments.config, arguments.overrides)
    elif words[1:3] == ["-m", "benchmarks"]:
        check_arguments(*suite_command(words[3:]))
    elif words[1] == "-m" and words[2] in WITHOUT_ARGUMENTS:
        assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file()
        assert not words[3:]
    elif words[1] == "-m":
        check_arguments(f"{words[2].replace('.', '/')}.py", words[3:])
    else:
        check_arguments(words[1], words[2:])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: f"{c.page}: {c.line[:70]}")
def test_a_command_of_the_docs_exists_as_it_is_written(command):
    check(command.line)


@pytest.mark.parametrize("program", sorted(path.name for path in (ROOT / "tools").glob("*.py")))
def test_the_example_of_a_help_text_parses(program):
    parser = parser_of(f"tools/{program}")
    example = parser.epilog.partition("example:\n")[2].replace("\\\n", " ")
    lines = [line.strip() for line in example.strip().splitlines()]
    assert all(line.startswith(("python tools/", "torchrun ", "flsl-bench ")) for line in lines)
    for line in lines:
        check(line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_of_the_docs_imports_and_calls_what_is_there(page):
    for block in code_blocks(page):
        if block[0].startswith(("from ", "import ")):
            check_python("\n".join(block))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_names_of_files_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        assert "://" in target or (page.parent / target).exists(), target
    for name in re.findall(rf"`((?:{'|'.join(OURS)})/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name


def test_a_flag_that_does_not_exist_is_found():
    with pytest.raises(AssertionError, match="--chekpoint"):
        check("python tools/table4.py --checkpoint a=b --chekpoint c=d --data-root data --out runs")
    with pytest.raises(AssertionError, match="invalid choice"):
        check("python tools/table1.py --checkpoint a=b --data-root data --out runs --scale medium")
    with pytest.raises(AssertionError):
        check("make everything")


def test_the_three_commands_of_a_newcomer_work_as_they_stand(tmp_path, monkeypatch):
    """docs/add_a_checkpoint.md, with a state dict in DINO's layout and a small world where the page says data is."""
    block = next(b for b in code_blocks(ROOT / "docs/add_a_checkpoint.md") if len(commands_of(b)) == 3)
    write_dino_layout(tmp_path / "mine.pth")
    shapes.write_world(tmp_path / "data/shapes", "tiny", 0, ("davis",))
    shutil.copytree(ROOT / "benchmarks/control_weights", tmp_path / "benchmarks/control_weights")
    monkeypatch.chdir(tmp_path)
    for line in commands_of(block):
        program, *arguments = shlex.split(line, comments=True)[1:]
        done = run_tool(Path(program).name, *arguments)
        assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "mine" in page
    assert "mini: no reproduction" in page


#: Run from a folder in which the files have the names of the docs. Everything else needs GPUs, real data or minutes.
CHEAP = (
    "python tools/prepare_data.py coco --root data --check",
    "python tools/convert.py dino_deitsmall16_pretrain.pth --out dino_s16.safetensors --heads 6",
    "python tools/evaluate_knn.py --checkpoint dino_s16.safetensors --imagenet-root data/imagenet --json knn.json",
    "python tools/report.py runs --out report.html",
)


def test_cheap_commands_run_as_they_stand(tmp_path, monkeypatch):
    """In the order of CHEAP: what one writes the next one reads."""
    write_dino_layout(tmp_path / "dino_deitsmall16_pretrain.pth")
    shapes.write_world(tmp_path / "data", "tiny", 0, ("coco", "imagenet"))
    write_random_control(tmp_path / "random.safetensors", seed=0)
    data = {"name": "DAVIS", "files": 1, "annotations_sha256": "", "images_sha256": ""}
    now = datetime.datetime.now(datetime.timezone.utc)
    metrics = {"J&F-Mean": 0.5, "J-Mean": 0.5, "F-Mean": 0.5}
    model = load_model(tmp_path / "random.safetensors", name="a")
    free_result(model, "davis", "davis2017-192p (mini)", metrics, {}, data, 0, now).write(tmp_path / "runs/records")
    monkeypatch.chdir(tmp_path)
    for line in CHEAP:
        shown = [command.line for command in COMMANDS if command.line.split("#")[0].strip() == line]
        assert shown, f"no page shows {line!r} any more"
        done = run_tool(Path(shlex.split(line)[1]).name, *shlex.split(line)[2:])
        assert done.returncode == 0, done.stderr


def write_dino_layout(path: Path) -> None:
    """Random weights of a ViT that is 384 wide and 2 deep, named as DINO names them."""
    rng = torch.Generator().manual_seed(0)
    width = 384
    sizes = {"cls_token": (1, 1, width), "pos_embed": (1, 197, width), "norm.weight": (width,), "norm.bias": (width,)}
    sizes |= {"patch_embed.proj.weight": (width, 3, 16, 16), "patch_embed.proj.bias": (width,)}
    linear = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1), "mlp.fc2": (1, 4)}
    for block in ("blocks.0", "blocks.1"):
        for name, (rows, columns) in linear.items():
            sizes[f"{block}.{name}.weight"] = (rows * width, columns * width)
            sizes[f"{block}.{name}.bias"] = (rows * width,)
        for name in ("norm1", "norm2"):
            sizes |= {f"{block}.{name}.weight": (width,), f"{block}.{name}.bias": (width,)}
    torch.save({name: 0.1 * torch.randn(size, generator=rng) for name, size in sizes.items()}, path)


def test_the_makefile_does_what_the_readme_says():
    make = shutil.which("make")
    if make is None:
        pytest.skip("needs make")
    done = subprocess.run([make, "-n", "demo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tools/quickstart.py" in done.stdout
