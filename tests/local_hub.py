"""A model hub on this machine: what huggingface_hub and a plain download need, with redirects, ranges and faults."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Files by address. ``files``: path -> bytes; ``redirects``: path -> path; ``gated``: what asks for a token.

    ``cut``: how often an answer ends after half of its bytes; ``asked``: method, path and range of every request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.gated: set[str] = set()
        self.cut = 0
        self.asked: list[tuple[str, str, str | None]] = []
        self.address = ""

    def repository(self, name: str, files: dict[str, bytes]) -> None:
        """Publish a repository; its large files lie on another path, as on the real hub."""
        for file, data in files.items():
            path = f"/{name}/resolve/{COMMIT}/{file}"
            if file.endswith((".safetensors", ".bin", ".pth")):
                blob = f"/cdn/{hashlib.sha256(data).hexdigest()}"
                self.files[blob], self.redirects[path] = data, blob
            else:
                self.files[path] = data
        self.files[f"/{name}"] = b""


@contextlib.contextmanager
def local_hub() -> Iterator[Hub]:
    """Serve a :class:`Hub` on the loopback address until the block ends."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path = self.path.partition("?")[0]
            hub.asked.append((self.command, path, self.headers.get("Range")))
            repository = "/".join(path.split("/")[1:3])
            path = path.replace("/resolve/main/", f"/resolve/{COMMIT}/")
            headers = {"X-Repo-Commit": COMMIT} if "/resolve/" in path else {}
            if repository in hub.gated and self.headers.get("Authorization") != "Bearer secret":
                return self.end(401, headers | {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
            if "/resolve/" in path and f"/{repository}" not in hub.files:
                return self.end(404, {"X-Error-Code": "RepoNotFound"})
            if "/resolve/" in path and f"/resolve/{COMMIT}/" not in path:
                return self.end(404, {"X-Error-Code": "RevisionNotFound"})
            target = hub.redirects.get(path)
            data = hub.files.get(target or path)
            if data is None:
                return self.end(404, headers | {"X-Error-Code": "EntryNotFound"})
            digest = hashlib.sha256(data).hexdigest()
            if target is not None:
                headers |= {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{digest}"'}
                elsewhere = hub.address.replace("127.0.0.1", "localhost")  # large files lie on another host
                return self.end(302, headers | {"Location": f"{elsewhere}{target}", "ETag": f'"{digest}"'})
            headers |= {"ETag": f'"{digest}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
            if data.startswith(b"<html"):
                headers["Content-Type"] = "text/html"
            wanted, status = self.headers.get("Range"), 200
            if wanted:
                start = int(wanted.removeprefix("bytes=").partition("-")[0])
                if start >= len(data):
                    return self.end(416, {"Content-Range": f"bytes */{len(data)}"})
                headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
                data, status = data[start:], 206
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(data))}).items():
                self.send_header(name, value)
            self.end_headers()
            if body and hub.cut and len(data) > 1000:
                hub.cut -= 1
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
            elif body:
                self.wfile.write(data)

        def end(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": "0"}).items():
                self.send_header(name, value)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
