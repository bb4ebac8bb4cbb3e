"""Checkpoints of the HuggingFace hub, through huggingface_hub: its cache, its token, its resuming.

Files are asked for one by one and nothing is listed, so that a mirror (``HF_ENDPOINT``) needs no more than the files.
That a file is not there is remembered as the library does, and without a network a snapshot counts only when it is
whole: weights without their config.json would be another network.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.errors import InputError

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
REPOSITORY = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:/(?P<file>[^@]+))?(?:@(?P<revision>[\w./-]+))?")
LOCAL_WAY = "or copy its files to this machine and give their path"


def from_timm(name: str) -> tuple[Path, str]:
    """The folder of a timm model, and its revision. A name without a tag means timm's own choice of weights."""
    model, _, revision = name.partition("@")
    repository = f"timm/{model}"
    if "." not in model:
        repository = _default_of_timm(model)
    return from_hub(repository + (f"@{revision}" if revision else ""))


def _default_of_timm(model: str) -> str:
    try:
        from timm.models import get_pretrained_cfg
    except ImportError:
        raise InputError(f"timm:{model} has no tag, and timm is not installed to choose one: add it, as in "
                         "timm:vit_small_patch16_224.dino") from None  # fmt: skip
    try:
        settings = get_pretrained_cfg(model)
    except (RuntimeError, AssertionError, KeyError):
        settings = None
    if settings is None or not settings.hf_hub_id:
        raise InputError(
            f"timm:{model}: timm knows no weights of that name on the hub: timm.list_pretrained() lists them"
        )
    return settings.hf_hub_id


def from_hub(name: str) -> tuple[Path, str]:
    """The snapshot folder of a repository (or one file of it) and its revision, fetched where it is not here yet."""
    match = REPOSITORY.fullmatch(name)
    if match is None:
        raise InputError(f"hf:{name} is not hf:OWNER/NAME[/FILE][@REVISION], for instance hf:facebook/dinov2-base")
    repository, revision = match["repository"], match["revision"]
    if match["file"]:
        path, missing = _fetch(repository, match["file"], revision)
        if path is None:
            raise InputError(
                f"hf:{repository} has no file {match['file']}{_at(revision)}: look at its page ({missing})"
            )
        return path, _commit(path)
    config, _ = _fetch(repository, "config.json", revision)
    pinned = _commit(config) if config else revision
    for weights in WEIGHTS:
        path, _ = _fetch(repository, weights, pinned)
        if path is not None:
            break
    else:
        raise InputError(
            f"hf:{repository}{_at(revision)} has none of {', '.join(WEIGHTS)}: "
            f"name its file, as in hf:{repository}/FILE"
        )
    pinned = _commit(path)
    if path.name.endswith(".index.json"):
        _fetch_parts(repository, path, pinned)
    if config is None:
        return path, pinned
    _fetch(repository, "preprocessor_config.json", pinned)
    return path.parent, pinned


def _fetch_parts(repository: str, index: Path, revision: str) -> None:
    from benchmarks.files import read_json

    listing = read_json(index, "weight index")
    where = listing.get("weight_map") if isinstance(listing, dict) else None
    if not isinstance(where, dict) or not all(isinstance(file, str) and "/" not in file for file in where.values()):
        raise InputError(f"{index.name} of hf:{repository} is no weight index: it has no usable weight_map")
    for file in sorted(set(where.values())):
        if _fetch(repository, file, revision)[0] is None:
            raise InputError(f"hf:{repository} lacks {file}, which its {index.name} names: the repository is not whole")


def _fetch(repository: str, file: str, revision: str | None) -> tuple[Path | None, str]:
    """A file of the hub; None and why when the repository is there and the file is not."""
    import huggingface_hub as hub
    from huggingface_hub import errors

    label = f"hf:{repository}{_at(revision)}"
    try:
        return Path(hub.hf_hub_download(repository, file, revision=revision, tqdm_class=_progress(file))), ""
    except errors.GatedRepoError as error:
        raise InputError(
            f"{label} is gated: ask for access on its page of the hub, then log in (`hf auth login`, or HF_TOKEN), "
            f"{LOCAL_WAY}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{label}: there is no such revision of {repository}: leave @ out for the newest") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"{label}: there is no such repository, or it is private: check the name, or log in (`hf auth login`, "
            f"or HF_TOKEN), {LOCAL_WAY}"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        if _known_missing(repository, file, revision):
            return None, "as it was when it was last looked at"
        if isinstance(error.__cause__, errors.FileMetadataError):
            raise InputError(
                f"{label}: {hub.constants.ENDPOINT} does not answer as a hub does: check HF_ENDPOINT, {LOCAL_WAY}"
            ) from error
        raise InputError(
            f"{label}: {file} is not in the cache ({hub.constants.HF_HUB_CACHE}) and the hub cannot be reached: "
            f"connect once (HF_HUB_OFFLINE unset), {LOCAL_WAY}"
        ) from error
    except errors.EntryNotFoundError:
        _remember_missing(repository, file, revision)
        return None, "it is not there"
    except errors.HFValidationError as error:
        raise InputError(f"{label} is no name of the hub: {_line(error)}") from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "?")
        way = (
            f"log in (`hf auth login`, or HF_TOKEN), {LOCAL_WAY}" if status in (401, 403) else f"try again, {LOCAL_WAY}"
        )
        raise InputError(f"{label}: the hub answers {status} for {file}: {way}") from error
    except (OSError, RuntimeError, ValueError) as error:  # the connection, the disk, a file that came out short
        raise InputError(
            f"{label}: {file} did not arrive ({_line(error)}): the same command goes on where it stopped, {LOCAL_WAY}"
        ) from error
    except Exception as error:  # the http library's own errors, whichever it is
        if type(error).__module__.partition(".")[0] not in (
            "httpx",
            "httpx2",
            "httpcore",
            "httpcore2",
            "requests",
            "h11",
        ):
            raise
        raise InputError(
            f"{label}: {file} did not arrive ({_line(error)}): the same command goes on where it stopped, {LOCAL_WAY}"
        ) from error


def _progress(file: str) -> type:
    """The library's bar, also where no terminal is (it then is silent, and a download of gigabytes looks hung)."""
    from huggingface_hub.utils import tqdm

    class Progress(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            if options.get("disable") is None:
                options["disable"] = False
            super().__init__(*arguments, **options | {"desc": file})  # not the address that it came from

    return Progress


def _marker(repository: str, file: str, revision: str | None) -> Path | None:
    """Where huggingface_hub notes that a file does not exist in a revision that is known here."""
    import huggingface_hub as hub

    folder = Path(hub.constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    ref = folder / "refs" / (revision or "main")
    commit = ref.read_text().strip() if ref.is_file() else revision
    return folder / ".no_exist" / commit / file if commit and (folder / "snapshots" / commit).is_dir() else None


def _known_missing(repository: str, file: str, revision: str | None) -> bool:
    marker = _marker(repository, file, revision)
    return marker is not None and marker.is_file()


def _remember_missing(repository: str, file: str, revision: str | None) -> None:
    marker = _marker(repository, file, revision)
    if marker is not None:
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()


def _commit(path: Path) -> str:
    """A file in the cache is ``snapshots/COMMIT/FILE``."""
    parts = path.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts else ""


def _at(revision: str | None) -> str:
    return f"@{revision}" if revision else ""


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
