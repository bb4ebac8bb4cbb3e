"""Checkpoints behind addresses: resumed where they were cut, checked, and kept in torch.hub's cache.

torch.hub keeps a file under its last name alone, and ``resnet50.pth`` is the name of many networks. Here a file has the
hash of its address before its name, unless the name is the method's own, so that a file which torch.hub has fetched
already is found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.checkpoints.sources.known import Known, known_entries
from benchmarks.errors import InputError
from benchmarks.files import sha256_of
from benchmarks.progress import Progress

TRIES = 5
BLOCK = 1 << 20
LOCAL = ("127.0.0.1", "localhost", "::1")
#: Names under which more than one network is published.
SHARED_NAME = re.compile(r"(?:resnet|vit|model|checkpoint|backbone|teacher|weights|last|best)[\w.-]*", re.IGNORECASE)


def from_address(source: str) -> tuple[Path, str]:
    """The file behind an address, and the address without what may be secret in it."""
    address, _, fragment = source.partition("#")
    sha256 = fragment.removeprefix("sha256=").lower() if fragment else None
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise InputError(f"{source}: after # only sha256= and 64 hexadecimal digits are understood")
    parts = urllib.parse.urlsplit(address)
    if not parts.hostname or (parts.scheme == "http" and parts.hostname not in LOCAL):
        raise InputError(f"{source}: https:// is needed, what comes over http:// can be changed on its way")
    name = Path(urllib.parse.unquote(parts.path)).name or "checkpoint"
    name = re.sub(r"[^\w.+-]", "_", name)[-100:]
    target = _cache() / f"{hashlib.sha256(address.encode()).hexdigest()[:12]}-{name}"
    return fetch(address, target, sha256), f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def from_torch_hub(source: str, known: Known | None) -> Path:
    """The weights of an entry of a torch.hub repository, by its published address; its code is neither read nor run."""
    if known is None or known.address is None:
        there = ", ".join(entry.source for entry in known_entries() if entry.source.startswith("hub:"))
        raise InputError(f"{source} is not known here, and its repository's code is not run to find it; known: {there}")
    name = Path(urllib.parse.urlsplit(known.address).path).name
    if SHARED_NAME.fullmatch(name):
        return from_address(known.address + (f"#sha256={known.sha256}" if known.sha256 else ""))[0]
    return fetch(known.address, _cache() / name, known.sha256)


def fetch(address: str, target: Path, sha256: str | None = None) -> Path:
    """``target``, fetched where it is not there yet. A part that is there is gone on with.

    :class:`InputError` when the address does not answer with a file, or with another one than ``sha256`` says.
    """
    shown = address.partition("?")[0]
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_file():
            if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
                raise InputError(
                    f"{shown} is not in the cache ({target}) and HF_HUB_OFFLINE forbids to fetch it: unset it, or copy "
                    "the file to this machine and give its path"
                )
            _download(address, shown, target)
        if sha256 is not None and (found := sha256_of(target)) != sha256:
            target.unlink()
            raise InputError(f"{shown} has the sha256 {found}, not {sha256}: another file; it was removed again")
    return target


def _download(address: str, shown: str, target: Path) -> None:
    part, note = Path(f"{target}.part"), Path(f"{target}.part.json")
    problem: Exception | None = None
    for _ in range(TRIES):
        tag = _read_note(note, address) if part.is_file() else None
        if tag is None:
            part.unlink(missing_ok=True)
        here = part.stat().st_size if part.is_file() else 0
        try:
            with _opened(address, here, tag) as answer:
                going_on = here > 0 and answer.status == 206
                length = answer.headers.get("Content-Length")
                total = (here if going_on else 0) + int(length) if length and length.isdigit() else None
                if "text/html" in (answer.headers.get("Content-Type") or ""):
                    raise InputError(
                        f"{shown} is a web page, not a file: open it in a browser, download the file itself and give "
                        "its path"
                    )
                tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
                note.write_text(json.dumps({"address": address, "tag": tag}))
                _copy(answer, part, going_on, total, target.name)
            if total is None or part.stat().st_size == total:
                part.replace(target)
                note.unlink(missing_ok=True)
                return
            problem = ConnectionError(f"{part.stat().st_size} of {total} bytes arrived")
        except urllib.error.HTTPError as error:
            if error.code == 416:  # what is here is longer than the file there
                part.unlink(missing_ok=True)
                problem = error
                continue
            raise _refusal(error, shown) from error
        except (urllib.error.URLError, HTTPException, OSError) as error:
            problem = error
    raise InputError(
        f"{shown} cannot be fetched ({' '.join(str(problem).split())[:160]}): connect, and the same command goes on "
        "where it stopped; or copy the file to this machine and give its path"
    ) from problem


def _copy(answer: HTTPResponse, part: Path, going_on: bool, total: int | None, name: str) -> None:
    done = part.stat().st_size if going_on else 0
    with (
        open(part, "ab" if going_on else "wb") as stream,
        Progress(total=total, initial=done, unit="B", unit_scale=True, desc=name, miniters=1) as bar,
    ):
        while block := answer.read(BLOCK):
            stream.write(block)
            bar.update(len(block))


def _read_note(note: Path, address: str) -> str | None:
    """The tag of the file whose first part is here; None when the part may be another file's."""
    try:
        told = json.loads(note.read_text())
        return told["tag"] if told["address"] == address and told["tag"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def _opened(address: str, here: int, tag: str | None) -> Iterator[HTTPResponse]:
    headers = {"User-Agent": "flsl-benchmarks", "Accept-Encoding": "identity"}
    if here:
        headers |= {"Range": f"bytes={here}-", "If-Range": tag or ""}
    opener = urllib.request.build_opener(_Redirects())
    with opener.open(urllib.request.Request(address, headers=headers), timeout=30) as answer:
        yield answer


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        parts = urllib.parse.urlsplit(newurl)
        if parts.scheme != "https" and parts.hostname not in LOCAL:
            raise InputError(f"{req.full_url.partition('?')[0]} leads to {parts.scheme}://, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refusal(error: urllib.error.HTTPError, shown: str) -> InputError:
    if error.code in (401, 403):
        return InputError(
            f"{shown} needs a login ({error.code}): download it in a browser, or with the token that its page asks "
            "for, and give its path"
        )
    if error.code in (404, 410):
        return InputError(f"{shown} is not there ({error.code}): check the address")
    return InputError(f"{shown} answers {error.code} {error.reason}: try again later, or give the path of a copy")


def _cache() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"
