"""The training file: FLSL's published layout, written atomically, readable without running anything."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.claim import Claim, NoLocksHere, claim
from benchmarks.errors import InputError
from benchmarks.files import atomic_path
from pretrain.failure import TrainingFailed

#: Where a training file keeps the state of its loss: FLSL's name for it and DINO's, by which readers know the method.
LOSS_KEYS = {"flsl_loss", "dino_loss"}


def loss_key(kind: str) -> str:
    """The entry of a snapshot for ``objective.kind``."""
    return f"{kind}_loss"


class SnapshotFolder:
    """The snapshots of one run: ``snapshots/step-N.pth``, the last ``keep``, and ``checkpoint.pth``, the newest.

    ``checkpoint.pth`` is a second name of the newest file (a copy where the file system has no hard links). A new
    file is whole and on the disk before an old one goes.
    """

    def __init__(self, out: Path, keep: int) -> None:
        self.out, self.keep = out, keep
        self.folder, self.newest = out / "snapshots", out / "checkpoint.pth"
        self._claim: Claim | None = None

    def prepare(self, size: int) -> None:
        """Make sure that snapshots of ``size`` bytes can be written; :class:`InputError` says why not.

        Also takes the folder's lock, which is given back by :meth:`release` and when the process ends, however it ends.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(self.folder / "probe") as probe:
                probe.write_bytes(b"x")
            (self.folder / "probe").unlink()
        except OSError as error:
            raise InputError(f"run.out {self.out} cannot be written to ({error.strerror}): choose another") from error
        try:
            self._claim = claim(self.out, patience=0)
        except NoLocksHere as error:
            print(f"warning: {error}; see to it that no other run trains in {self.out}", file=sys.stderr)
        except InputError as error:
            raise InputError(f"another run is training in {self.out} ({error}): choose another run.out") from error
        for leftover in [*self.folder.glob(".step-*.pth"), *self.out.glob(".checkpoint.*.pth")]:
            leftover.unlink(missing_ok=True)  # of a run that was killed while it wrote
        free = shutil.disk_usage(self.out).free
        if free < 2 * size:
            raise InputError(
                f"{self.out} has {free / 2**30:.1f} GiB free, but two snapshots need {2 * size / 2**30:.1f}: make room"
            )

    def release(self) -> None:
        """Give the folder's lock back."""
        if self._claim is not None:
            self._claim.release()

    def save(self, state: dict[str, Any], step: int) -> None:
        """Write ``state`` (tensors and plain containers only); :class:`TrainingFailed` names what is still safe."""
        path = self.folder / f"step-{step:08d}.pth"
        try:
            with atomic_path(path) as temporary:
                torch.save(state, temporary)
            self._point_to(path)
        except (OSError, RuntimeError) as error:  # torch's writer reports a full disk as RuntimeError
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error).splitlines()[0]
            last = self.found()
            safe = f"{last[0]} is intact, the same command goes on from it" if last else "none was written before"
            raise TrainingFailed(f"step {step}: {path} could not be written ({reason}); {safe}") from error
        for old in self._numbered()[self.keep :]:
            old.unlink(missing_ok=True)

    def _point_to(self, path: Path) -> None:
        link = self.out / f".checkpoint.{os.getpid()}.pth"
        try:
            os.link(path, link)
            os.replace(link, self.newest)
        except OSError:
            with atomic_path(self.newest) as temporary:
                shutil.copyfile(path, temporary)
        finally:
            link.unlink(missing_ok=True)

    def _numbered(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.pth"), reverse=True)

    def found(self) -> list[Path]:
        """Files to resume from, the best first."""
        return self._numbered() + [self.newest] * self.newest.exists()

    def load(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest snapshot that can be read, and its path; None where there is none at all.

        A damaged file is passed over, with a line on standard error; :class:`InputError` when all are damaged.
        """
        failures = []
        for path in self.found():
            try:
                return path, load_snapshot(path)
            except InputError as error:
                failures.append(error)
                print(f"warning: {error}", file=sys.stderr)
        if failures:
            raise failures[0]
        return None


def load_snapshot(path: Path) -> dict[str, Any]:
    """Read a snapshot back on the CPU; :class:`InputError` when the file is not one."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is no checkpoint
        raise InputError(
            f"{path} cannot be resumed from ({type(error).__name__}): move it away to start anew"
        ) from error
    needed = {"step", "global_batch", "data", "args"}
    if not isinstance(state, dict) or not needed <= state.keys() or not LOSS_KEYS & state.keys():
        raise InputError(f"{path} is a checkpoint, but not a snapshot of this program: move it away to start anew")
    return state


def save_aside(path: Path, content: dict[str, Any]) -> None:
    """Write a post-mortem file, if that is possible at all."""
    with contextlib.suppress(OSError, RuntimeError), atomic_path(path) as temporary:
        torch.save(content, temporary)
