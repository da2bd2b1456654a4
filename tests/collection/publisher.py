"""A real server on loopback that publishes files, and breaks off as it is told."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from genre_vae.collection.download import Archive, Dataset


@dataclass
class Publisher:
    """What a server publishes, how it does, and what it was asked for.

    Parameters
    ----------
    files
        Contents by path.
    cuts
        After how many bytes the next answers break off; those that follow are whole.
    status
        What every request is answered with instead.
    ranges, sized, validators
        Whether Range is understood; whether the length is stated, or the body comes in chunks; and
        whether ETag and Last-Modified are.
    restarts
        Whether a Range is answered as if it were understood, but from the beginning.
    pause
        What every 64 KiB take (s).
    asked
        Path, Range header and bytes sent, of each request.
    """

    files: dict[str, bytes]
    cuts: list[int] = field(default_factory=list)
    status: int = 0
    ranges: bool = True
    sized: bool = True
    validators: bool = True
    restarts: bool = False
    pause: float = 0.0
    asked: list[tuple[str, str | None, int]] = field(default_factory=list)
    address: str = ""

    def dataset(self, *paths: str, most: int = 10_000_000) -> dict[str, Dataset]:
        """A table with one collection, of these archives as they are now."""
        archives = tuple(Archive(f"{self.address}{path}", self.checksum(path)) for path in paths)
        return {"songs": Dataset(archives, most, "genres/rock", "http://page.example/songs")}

    def checksum(self, path: str) -> str:
        return f"md5:{hashlib.md5(self.files[path]).hexdigest()}"

    @property
    def ranges_asked(self) -> list[str | None]:
        return [asked for _, asked, _ in self.asked]


def handler(publisher: Publisher) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = publisher.files.get(self.path)
            asked = self.headers.get("Range")
            if publisher.status or content is None:
                publisher.asked.append((self.path, asked, 0))
                self.send_error(publisher.status or 404)
                return
            start = int(asked[6:-1]) if asked and publisher.ranges else 0
            if start and start >= len(content):
                publisher.asked.append((self.path, asked, 0))
                self.send_error(416)
                return
            partial = start > 0
            start = 0 if publisher.restarts else start
            body = content[start:]
            self.send_response(206 if partial else 200)
            if partial:
                whole = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.send_header("Content-Range", whole)
            if publisher.validators:
                self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
                self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
            if publisher.sized:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            cut = publisher.cuts.pop(0) if publisher.cuts else len(body)
            publisher.asked.append((self.path, asked, min(cut, len(body))))
            with contextlib.suppress(ConnectionError):  # of a reader that was killed
                self._send(body[:cut])
                if cut >= len(body) and not publisher.sized:
                    self.wfile.write(b"0\r\n\r\n")
            self.close_connection = cut < len(body)

        def _send(self, body: bytes) -> None:
            for at in range(0, len(body), 1 << 16):
                part = body[at : at + (1 << 16)]
                time.sleep(publisher.pause)
                if publisher.sized:
                    self.wfile.write(part)
                else:
                    self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextlib.contextmanager
def publishing(files: Mapping[str, bytes]) -> Iterator[Publisher]:
    publisher = Publisher(dict(files))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(publisher))
    publisher.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield publisher
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tarred(members: Mapping[str, bytes], *more: tarfile.TarInfo) -> bytes:
    """A tar.gz file of these files, and of members without content."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
        for info in more:
            file.addfile(info)
    return content.getvalue()


def zipped(members: Mapping[str, bytes] | Mapping[zipfile.ZipInfo, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return content.getvalue()
