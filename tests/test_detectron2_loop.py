"""The house's loop around detectron2, with stand-ins for the little of detectron2 that it calls."""

import contextlib
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks.engines import detectron2 as engine
from benchmarks.engines.schedule import Schedule
from benchmarks.errors import InputError

PLAN = Schedule(4, 1, 2, 2, updates=6, warm_up=3, drops=(4, 5), learning_rate=0.1, precision="fp32")


@pytest.fixture
def detectron2(monkeypatch):
    """Modules of detectron2 by name, made as they are asked for."""

    def put(name, **contents):
        for length in range(1, name.count(".") + 2):
            part = ".".join(name.split(".")[:length])
            if part not in sys.modules or length == name.count(".") + 1:
                monkeypatch.setitem(sys.modules, part, ModuleType(part))
        vars(sys.modules[name]).update(contents)

    put("detectron2.utils.events", EventStorage=lambda start: contextlib.nullcontext())
    return put


class Toy(nn.Module):
    """A detector of one number; its loss is of the images' numbers and of chance."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))
        self.seen = []

    def forward(self, batch):
        assert isinstance(batch, list)  # as the data set gives it, nothing stacked
        self.seen.append(batch)
        wanted = torch.tensor([float(number) for number in batch]).mean() + torch.rand(1)
        return {"loss_a": (self.weight - wanted).pow(2).mean(), "loss_b": self.weight.abs().mean()}


class Numbers:
    """Seven images, which are their numbers."""

    def __init__(self, data, out, augmentations, seed):
        assert (data, augmentations) == (DATA, ["flip"])
        self.seed = seed

    def __len__(self):
        return 7

    def __getitem__(self, number):
        return number


DATA = SimpleNamespace(classes=["a", "b"], path="nowhere")


@pytest.fixture
def train(tmp_path, monkeypatch, detectron2):
    """Train the toy in a folder; the model and the rates of its updates."""
    rates = []

    class Sgd(torch.optim.SGD):
        def step(self, closure=None):
            rates.append([group["lr"] for group in self.param_groups])
            assert torch.isfinite(self.param_groups[0]["params"][0].grad).all()
            return super().step(closure)

    def build(config, checkpoint, classes, adaptation):
        assert (checkpoint, classes, adaptation) == ("x", 2, None)
        return Toy()

    def make_optimizer(config, model, rate, adaptation):
        return Sgd([{"params": [model.weight], "lr": rate}], momentum=0.9)

    monkeypatch.setattr(
        engine, "read_config", lambda file: SimpleNamespace(augmentations=SimpleNamespace(train=["flip"]))
    )
    monkeypatch.setattr(engine, "build", build)
    monkeypatch.setattr(engine, "make_optimizer", make_optimizer)
    monkeypatch.setattr(engine, "Draws", Numbers)
    monkeypatch.setattr(engine, "INTERVAL", 4)

    def run(name, schedule=PLAN, seed=3, **options):
        rates.clear()
        model, _ = engine.train("config", "x", tmp_path / name, DATA, schedule, seed, progress=False, **options)
        return model, list(rates)

    return run


def losses(folder):
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def test_an_update_is_the_mean_of_its_passes_at_the_schedules_rate(tmp_path, train):
    model, rates = train("whole")
    assert rates == [[pytest.approx(0.1 * engine.lr_multiplier(update, PLAN))] for update in range(6)]
    assert [len(batch) for batch in model.seen] == [2] * 12
    draws = [number // 7 for batch in model.seen for number in batch]
    assert draws == list(range(24))  # every draw once, in order
    alone, _ = train("alone", Schedule(4, 1, 4, 1, 6, 3, (4, 5), 0.1, "fp32"))
    assert [number for batch in alone.seen for number in batch] == [n for batch in model.seen for n in batch]
    log = losses(tmp_path / "whole")
    assert [line["iteration"] for line in log] == [1, 2, 3, 4, 5, 6]
    for line in log:
        assert line["loss"] == pytest.approx(line["loss_a"] + line["loss_b"])
    assert losses(tmp_path / "alone")[0]["loss_b"] == log[0]["loss_b"] == 0
    first = []
    for number, batch in enumerate(model.seen[:2]):  # chance of seed, step, process and pass; pinned for resumed runs
        engine.seed_all(3, 2, 0, 0, number)
        first.append((sum(batch) / 2 + torch.rand(1).item()) ** 2)
    assert log[0]["loss_a"] == pytest.approx(sum(first) / 2)
    other, _ = train("other", seed=4)
    assert not torch.equal(other.weight, model.weight)


def test_gradients_are_accumulated_by_hand(monkeypatch):
    monkeypatch.setattr(engine, "seed_all", lambda *numbers: torch.manual_seed(hash(numbers) % 1000))
    model = Toy()
    nn.init.ones_(model.weight)
    batches = [[1.0, 3.0], [5.0, 7.0]]
    scaler = torch.amp.GradScaler("cuda", enabled=False)
    found = engine._gradients(model, iter(batches), PLAN, scaler, (1, 2))
    expected, total = Toy(), {"loss_a": 0.0, "loss_b": 0.0}
    nn.init.ones_(expected.weight)
    for number, batch in enumerate(batches):
        engine.seed_all(1, 2, number)
        for name, value in expected(batch).items():
            (value / 2).backward()
            total[name] += value.item() / 2
    torch.testing.assert_close(model.weight.grad, expected.weight.grad)
    assert found == pytest.approx({**total, "loss": sum(total.values())})


@pytest.mark.parametrize(("precision", "kind"), [("fp32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_passes_run_in_the_schedules_precision(monkeypatch, precision, kind):
    asked = []

    def autocast(device, dtype, enabled):
        asked.append((device, dtype, enabled))
        return contextlib.nullcontext()

    monkeypatch.setattr(torch, "autocast", autocast)
    schedule = Schedule(2, 1, 2, 1, 1, 1, (), 0.1, precision)
    engine._gradients(Toy(), iter([[1.0]]), schedule, torch.amp.GradScaler("cuda", enabled=False), (0,))
    assert asked == [("cpu", kind, kind is not None)]


def test_processes_meet_in_the_last_pass_alone(monkeypatch):
    apart = []

    class Wrapped(Toy):
        @contextlib.contextmanager
        def no_sync(self):
            apart.append(len(self.seen))
            yield

    monkeypatch.setattr(engine, "DistributedDataParallel", Wrapped)
    engine._gradients(
        Wrapped(),
        iter([[1.0]] * 3),
        Schedule(3, 1, 1, 3, 1, 1, (), 0.1, "fp32"),
        torch.amp.GradScaler("cuda", enabled=False),
        (0,),
    )
    assert apart == [0, 1]


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [2, 5, 6])
def test_a_killed_run_ends_as_the_unbroken_one(tmp_path, train, monkeypatch, at):
    whole, _ = train("whole")
    right = engine._Log.write

    def write(log, update, values):
        if update == at:
            raise Killed
        right(log, update, values)

    with monkeypatch.context() as patch:
        patch.setattr(engine._Log, "write", write)
        with pytest.raises(Killed):
            train("cut")
    again, rates = train("cut")
    assert len(rates) == 6 - (at - 1) // 4 * 4  # from the last snapshot, every four updates
    assert torch.equal(again.weight, whole.weight)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    finished, rates = train("cut")
    assert (rates, torch.equal(finished.weight, whole.weight)) == ([], True)
    anew, rates = train("cut", resume=False)
    assert (len(rates), torch.equal(anew.weight, whole.weight)) == (6, True)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "cut").iterdir() if path.name[0] == "."] == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(tmp_path, value):
    log = engine._Log(tmp_path / "out", 0, 3, False, 0)
    with pytest.raises(FloatingPointError, match=f"the loss is {value} at update 2"):
        log.write(2, {"loss": value})
    assert losses(tmp_path / "out") == []


@pytest.mark.parametrize(("progress", "shown"), [(True, True), (False, False)])
def test_the_other_processes_log_nothing(tmp_path, capsys, progress, shown):
    first, other = (engine._Log(tmp_path / name, 0, 3, progress, rank) for rank, name in enumerate("ab"))
    for log in (first, other):
        log.write(1, {"loss": 1.0})
        log.close()
    assert losses(tmp_path / "a") == [{"iteration": 1, "loss": 1.0}]
    assert not (tmp_path / "b/losses.jsonl").exists()
    assert ("detector" in capsys.readouterr().err) == shown


def test_who_starts_the_processes(monkeypatch, detectron2):
    assert engine._processes("none") == (0, 1)
    with pytest.raises(InputError, match="detectron2 runs under --launcher none or torchrun here"):
        engine._processes("slurm")
    begun, groups = [], []
    detectron2("detectron2.utils", comm=SimpleNamespace(create_local_process_group=groups.append))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *a, **k: begun.append((a, k)))
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    assert engine._processes("torchrun") == (1, 4)
    assert (begun, groups) == ([(("gloo",), {"timeout": engine.PATIENCE})], [2])
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    engine._processes("torchrun")
    assert len(begun) == 1


@pytest.mark.parametrize(("precision", "hooks"), [("fp16", 1), ("bf16", 0), ("fp32", 0)])
def test_gradients_travel_short_in_fp16_alone_and_buffers_do_not(monkeypatch, precision, hooks):
    made = []

    class Wrapped:
        def __init__(self, model, device_ids, broadcast_buffers):
            made.append((device_ids, broadcast_buffers))
            self.hooks = []

        def register_comm_hook(self, state, hook):
            self.hooks.append((state, hook.__name__))

    monkeypatch.setattr(engine, "DistributedDataParallel", Wrapped)
    found = engine._distributed(Toy(), Schedule(2, 1, 2, 1, 1, 1, (), 0.1, precision))
    assert made == [(None, False)]
    assert found.hooks == [(None, "fp16_compress_hook")] * hooks


@pytest.mark.parametrize(("rank", "ids"), [(0, {3: 0, 17: 1}), (1, {3: 0, 17: 1}), (0, None)])
def test_detections_of_all_processes_have_the_datas_own_ids(tmp_path, monkeypatch, detectron2, rank, ids):
    entries = [{"image_id": number} for number in (4, 5, 6, 7, 8)]

    def load(file, folder, name):
        assert (file, folder) == (f"val in {tmp_path}", "root/val2017")
        print("chatter")
        return entries

    class Root:
        def __truediv__(self, name):
            return f"root/{name}"

    data = SimpleNamespace(path=Root(), engine_file=lambda split, out: f"{split} in {out}")
    known = SimpleNamespace(**({"thing_dataset_id_to_contiguous_id": ids} if ids else {}))
    comm = SimpleNamespace(get_rank=lambda: rank, get_world_size=lambda: 2, gather=lambda found: [found, ["theirs"]])
    detectron2("detectron2.utils", comm=comm)
    detectron2("detectron2.data", MetadataCatalog=SimpleNamespace(get=lambda name: known))
    detectron2("detectron2.data.datasets", load_coco_json=load)
    detectron2(
        "detectron2.evaluation.coco_evaluation",
        instances_to_coco_json=lambda found, image: [{"image_id": image, "category_id": label} for label in found],
    )

    def mapper(augmentations, training):
        assert (augmentations, training) == (["resize"], False)
        return lambda entry: entry["image_id"]

    monkeypatch.setattr(engine, "mapper", mapper)

    class Labels(list):
        def to(self, device):
            assert device == "cpu"
            return self

    class Detector(nn.Module):
        def forward(self, batch):
            assert not self.training
            assert torch.is_inference_mode_enabled()
            (image,) = batch
            return [{"instances": Labels([image % 2])}]

    config = SimpleNamespace(augmentations=SimpleNamespace(test=["resize"]))
    found = engine.detect(Detector().train(), config, data, tmp_path, progress=False)
    own = {0: 3, 1: 17} if ids else {0: 0, 1: 1}
    mine = [{"image_id": image, "category_id": own[image % 2]} for image in (4, 6, 8)]
    assert found == ([*mine, "theirs"] if rank == 0 else [])
