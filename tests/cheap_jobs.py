"""Requests of the cheap task, planned in this process."""

from __future__ import annotations

from cheap_task import Cheap, Settings

from benchmarks.controls import write_random_control
from benchmarks.core.model import load_model
from benchmarks.core.request import Entry, Request, expand


def good_model(folder):
    write_random_control(folder / "good.safetensors", 0)
    return load_model(folder / "good.safetensors", name="good")


def request(model, root, task=None, settings=None, **options):
    entry = Entry(model.name, model, settings or Settings())
    return Request(task or Cheap(), [entry], root, "mini", **options)


def planned(*arguments, **options):
    return expand(request(*arguments, **options))[0]


class Unseeded(Cheap):
    seeded = False


class Nobodys(Cheap):
    shared_by = "nobody"


class Version2(Cheap):
    version = 2
