"""How fast is a training step against the published one, rebuilt here from its equations in plain PyTorch?

The rebuilt step materialises every attention, copies the teacher's tokens for each student view, concatenates outputs
view size by view size, clips and averages parameter by parameter in Python, reads the loss back each step, and steps an
AdamW that is neither fused nor foreach. Both sides start from the same weights and see the same views; they take turns,
and the medians' ratio is printed. Peak memory is that of a process of its own for each side.

    python tests/performance/pretrain_step.py --batch 16 --repeats 5
    python tests/performance/pretrain_step.py --batch 16 --repeats 5 --precision bf16
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from pretrain.build import compile_encoders
from pretrain.config import Config, ModelConfig
from pretrain.data import Batch
from pretrain.networks import Network, choose_attention
from pretrain.objective import Objective
from pretrain.schedules import Schedule
from pretrain.step import Step
from pretrain.views import grid_queries

MODELS = {
    "small16": ModelConfig(),
    "tiny16": ModelConfig(embed_dim=192, num_heads=3, depth=4),  # for a quick look
}


CPU = torch.device("cpu")


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """The forward pass in ``precision``: fp32, bf16 or fp16."""
    dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
    return torch.autocast(device.type, dtypes[precision]) if precision in dtypes else contextlib.nullcontext()


class PlainBlock(nn.Module):
    """A pre-norm transformer block whose attention matrix is made in full."""

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.heads, self.drop_path = heads, drop_path
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        query, key, value = qkv[0], qkv[1], qkv[2]
        attention = ((query @ key.transpose(-2, -1)) * (width // self.heads) ** -0.5).softmax(dim=-1)
        x = x + self.dropped(self.proj((attention @ value).transpose(1, 2).reshape(batch, tokens, width)))
        return x + self.dropped(self.fc2(F.gelu(self.fc1(self.norm2(x)))))

    def dropped(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.drop_path == 0.0:
            return x
        keep = 1.0 - self.drop_path
        return x.div(keep) * (keep + torch.rand(x.shape[0], 1, 1, device=x.device)).floor_()


class PlainNetwork(nn.Module):
    """ViT without class token, DINO's head with a weight-normed last layer."""

    def __init__(self, model: ModelConfig, drop_path: float) -> None:
        super().__init__()
        self.model = model
        width, grid = model.embed_dim, model.image_size // model.patch_size
        self.patch = nn.Conv2d(3, width, model.patch_size, model.patch_size)
        self.positions = nn.Parameter(torch.zeros(1, grid**2, width), requires_grad=False)
        rates = torch.linspace(0, drop_path, model.depth).tolist()
        self.blocks = nn.ModuleList(PlainBlock(width, model.num_heads, rate) for rate in rates)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        hidden, bottleneck = model.head_hidden_dim, model.head_bottleneck_dim
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, bottleneck)
        )
        self.last_g = nn.Parameter(torch.ones(model.clusters, 1), requires_grad=False)
        self.last_v = nn.Parameter(torch.zeros(model.clusters, bottleneck))

    def take(self, network: Network) -> None:
        """Copy the weights of ours, so that both sides compute the same."""
        mine, theirs = list(self.parameters()), dict(network.named_parameters())
        order = ["backbone.patch_embed.proj.weight", "backbone.patch_embed.proj.bias"]
        named = {"positions": theirs["backbone.pos_embed"], "last_g": theirs["head.last_layer.weight_g"]}
        for i in range(self.model.depth):
            for part in ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
                order += [f"backbone.blocks.{i}.{part}.weight", f"backbone.blocks.{i}.{part}.bias"]
        order += ["backbone.norm.weight", "backbone.norm.bias"]
        order += [f"head.mlp.{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias")]
        rest = {id(p) for p in (self.positions, self.last_g, self.last_v)}
        self.positions.data.copy_(named["positions"])
        self.last_v.data.copy_(theirs["head.last_layer.weight_v"])
        for parameter, name in zip([p for p in mine if id(p) not in rest], order, strict=True):
            parameter.data.copy_(theirs[name])

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch(images).flatten(2).transpose(1, 2)
        old, new = round(math.sqrt(self.positions.shape[1])), images.shape[-1] // self.model.patch_size
        table = self.positions
        if old != new:
            grid = table.reshape(1, old, old, -1).permute(0, 3, 1, 2)
            scale = (new + 0.1) / old
            table = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic").permute(0, 2, 3, 1)
            table = table.reshape(1, new * new, -1)
        x = x + table
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def head(self, x: torch.Tensor) -> torch.Tensor:
        x = F.normalize(self.mlp(x), dim=-1)
        return F.linear(x, self.last_v * (self.last_g / self.last_v.norm(dim=1, keepdim=True)))


class PlainStep:
    """The published step's computation, operation by operation; in ``fp16`` with its loss scaling, as published."""

    def __init__(self, config: Config, ours: Network, precision: str = "fp32") -> None:
        self.config, self.precision = config, precision
        self.device = next(ours.parameters()).device
        self.student, self.teacher = PlainNetwork(config.model, config.model.drop_path), PlainNetwork(config.model, 0.0)
        self.student.take(ours)
        self.teacher.take(ours)
        self.student.to(self.device)
        self.teacher.to(self.device).requires_grad_(False).eval()
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")
        trained = [p for p in self.student.parameters() if p.requires_grad]
        groups = [{"params": [p for p in trained if p.ndim > 1]}, {"params": [p for p in trained if p.ndim == 1]}]
        groups[1]["weight_decay"] = 0.0
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4, weight_decay=0.04, foreach=False, fused=False)

    def __call__(self, batch: Batch) -> float:
        with autocast(self.device, self.precision):
            loss = self.loss(batch)
        value = loss.item()
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        for parameter in self.student.parameters():
            if parameter.grad is not None:
                norm = parameter.grad.norm(2)
                norm.item()
                if 3.0 / (norm + 1e-6) < 1:
                    parameter.grad.mul_(3.0 / (norm + 1e-6))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        with torch.no_grad():
            for mine, theirs in zip(self.student.parameters(), self.teacher.parameters(), strict=True):
                theirs.mul_(0.996).add_(0.004 * mine)
        return value

    def loss(self, batch: Batch) -> torch.Tensor:
        o, width = self.config.objective, self.config.model.embed_dim
        tokens, modes, student_logits, teacher_logits = ([] for _ in range(4))
        points = self.teacher.encode(batch.teacher)
        for images, chosen in zip(batch.views, batch.queries, strict=True):
            views = images.shape[0] // points.shape[0]
            encoded = self.student.encode(images)
            mask = torch.zeros(encoded.shape[:2], dtype=torch.bool, device=chosen.device).scatter_(1, chosen, True)
            queries = encoded[mask].view(images.shape[0], -1, width)
            own = (queries @ encoded.transpose(-2, -1) * o.sa_temperature).softmax(dim=-1) @ encoded
            copied = points.unsqueeze(0).expand(views, -1, -1, -1).reshape(images.shape[0], -1, width)
            positive = (queries @ copied.transpose(-2, -1) * o.ca_temperature).softmax(dim=-1) @ copied
            tokens.append(queries.reshape(-1, width))
            modes.append(own.reshape(-1, width))
            student_logits.append(self.student.head(own).flatten(0, 1))
            teacher_logits.append(self.teacher.head(positive).flatten(0, 1))
        z, z_hat, p, p_hat = (torch.cat(x) for x in (tokens, modes, student_logits, teacher_logits))
        intra = 2 - 2 * (F.normalize(z, dim=-1) * F.normalize(z_hat, dim=-1)).sum(dim=-1).mean()
        p = (p.float() / o.student_temp).softmax(dim=-1)
        inter = -((p_hat.detach().float() / o.teacher_temp).softmax(dim=-1) * p.log()).sum(dim=-1).mean()
        mean = p.mean(dim=0)
        volume = (mean * mean.log()).sum() + math.log(len(mean))
        return o.intra * intra + o.inter * inter + o.volume * volume


class OurStep:
    """What the trainer does with one batch."""

    def __init__(
        self, config: Config, precision: str, compiled: bool, device: torch.device = CPU, mode: str | None = None
    ) -> None:
        torch.manual_seed(0)
        student = Network(config.model, config.model.drop_path).to(device)
        teacher = Network(config.model).to(device).requires_grad_(False)
        teacher.load_state_dict(student.state_dict())
        choose_attention(student, device, precision)
        objective = Objective(config.model.clusters).to(device)
        scaler = torch.amp.GradScaler(device.type) if precision == "fp16" else None
        self.work = Step(student, teacher, objective, autocast=autocast(device, precision), scaler=scaler)
        if compiled:
            compile_encoders(student, teacher, mode=mode)
        self.values = Schedule(config, 100, 256).at(4000)

    def __call__(self, batch: Batch) -> float:
        losses, found = self.work.backward([batch], self.values, [1.0])
        norms = self.work.gradient_norms()
        total = torch.cat([losses.total[None], norms]).tolist()[0]
        self.work.update(self.values, found, norms)
        return total


def make_batch(config: Config, images: int) -> Batch:
    g, rng = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    import numpy as np

    model, views = config.model, config.views
    numbers = np.random.default_rng(0)
    sizes = ((1, model.image_size, views.global_window), (views.local_views, views.local_size, views.local_window))

    def queries(count: int, size: int, window: int) -> torch.Tensor:
        rows = [grid_queries(size // model.patch_size, window, numbers, False) for _ in range(count * images)]
        return torch.from_numpy(np.stack(rows))

    return Batch(
        teacher=torch.randn(images, 3, model.image_size, model.image_size, generator=g),
        views=[torch.randn(n * images, 3, size, size, generator=g) for n, size, _ in sizes],
        queries=[queries(n, size, window) for n, size, window in sizes],
        draws=[torch.rand(n * images, model.depth, 2, generator=rng) for n, _, _ in sizes],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32", help="of ours; theirs is fp32")
    parser.add_argument("--model", choices=tuple(MODELS), default="small16")
    parser.add_argument("--compile", action="store_true", help="ours with torch.compile")
    parser.add_argument("--only", choices=("ours", "plain"), help="two steps of one side, then its peak memory")
    args = parser.parse_args()
    config = Config(model=MODELS[args.model])
    batch = make_batch(config, args.batch)
    ours = OurStep(config, args.precision, args.compile)
    sides = {"ours": ours, "plain": PlainStep(config, ours.work.student)}
    if args.only:
        del sides["plain" if args.only == "ours" else "ours"], ours
        for _ in range(2):
            sides[args.only](batch)
        status = Path("/proc/self/status").read_text()  # getrusage's maximum is inherited from the parent
        print(int(status.split("VmHWM:")[1].split()[0]) / 2**20)
        return
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    work: dict[str, list[float]] = {name: [] for name in sides}
    losses = {name: side(batch) for name, side in sides.items()}  # warm-up
    for repeat in range(args.repeats):
        for name in sorted(sides, reverse=bool(repeat % 2)):
            began, processed = time.perf_counter(), time.process_time()
            sides[name](batch)
            seconds[name].append(time.perf_counter() - began)
            work[name].append(time.process_time() - processed)
    medians, cpu = ({name: statistics.median(times) for name, times in x.items()} for x in (seconds, work))
    memory = {}
    for name in sides:
        options = ["--only", name, "--batch", str(args.batch), "--model", args.model, "--precision", args.precision]
        done = subprocess.run([sys.executable, __file__, *options], capture_output=True, text=True, check=True)
        memory[name] = float(done.stdout)
    print(f"{args.model}, batch {args.batch}, {torch.get_num_threads()} thread(s), ours in {args.precision}")
    print(f"loss of the first step: ours {losses['ours']:.5f}, plain {losses['plain']:.5f} (drop path draws differ)")
    print(f"median of {args.repeats}: ours {medians['ours']:.3f} s, plain fp32 {medians['plain']:.3f} s a step")
    print(
        f"plain / ours = {medians['plain'] / medians['ours']:.2f} by the clock, {cpu['plain'] / cpu['ours']:.2f} in "
        f"processor seconds ({cpu['plain']:.2f} / {cpu['ours']:.2f}), which other work on the machine disturbs less"
    )
    print(f"peak memory of a process with one side: ours {memory['ours']:.2f} GiB, plain {memory['plain']:.2f} GiB")


if __name__ == "__main__":
    main()
