"""Google Cloud Storage on loopback, objects in memory: list, describe, read, upload, delete. It comes as no package."""

import contextlib
import datetime
import http.server
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def bucket(name: str, monkeypatch: Any) -> Iterator[dict[str, bytes]]:
    """Give the objects of the bucket `name`; Google's library finds it while the context lasts."""

    class Server(_Server):
        objects: dict[str, bytes] = {}  # noqa: RUF012

    Server.name = name
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("NO_GCE_CHECK", "true")  # or Google's library looks for a machine of its own for seconds
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        yield Server.objects
        server.shutdown()


class _Server(http.server.BaseHTTPRequestHandler):
    """One bucket, of which a subclass has the name and the objects."""

    name: str
    objects: dict[str, bytes]

    def log_message(self, *_: object) -> None:
        pass

    def _say(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _key(self) -> tuple[str, dict[str, list[str]]]:
        url = urllib.parse.urlsplit(self.path)
        key = urllib.parse.unquote(url.path.partition(f"/b/{self.name}/o")[2].lstrip("/"))
        return key, urllib.parse.parse_qs(url.query)

    def _described(self, key: str) -> dict[str, object]:
        updated = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        size = str(len(self.objects[key]))
        return {"name": key, "bucket": self.name, "size": size, "updated": updated, "generation": "1"}

    def do_GET(self) -> None:
        key, query = self._key()
        if not key:
            prefix = query.get("prefix", [""])[0]
            items = [self._described(one) for one in sorted(self.objects) if one.startswith(prefix)]
            self._say(200, json.dumps({"items": items}).encode())
        elif key not in self.objects:
            self._say(404)
        elif "alt" in query or self.path.startswith("/download"):
            self._say(200, self.objects[key])
        else:
            self._say(200, json.dumps(self._described(key)).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        _, query = self._key()
        if query["uploadType"] == ["resumable"]:
            name = json.loads(body)["name"]
            host = self.headers["Host"]
            self._say(200, Location=f"http://{host}/resumable/b/{self.name}/o?name={urllib.parse.quote(name, safe='')}")
            return
        boundary = re.search('boundary="?([^";]+)', self.headers["Content-Type"])[1].encode()
        described, content = (part.partition(b"\n\n")[2] for part in body.split(b"--" + boundary)[1:3])
        name = json.loads(described)["name"]
        self.objects[name] = content.removesuffix(b"\n")
        self._say(200, json.dumps(self._described(name)).encode())

    def do_PUT(self) -> None:
        name = self._key()[1]["name"][0]
        self.objects[name] = self.rfile.read(int(self.headers["Content-Length"]))
        self._say(200, json.dumps(self._described(name)).encode())

    def do_DELETE(self) -> None:
        key, _ = self._key()
        self._say(204 if self.objects.pop(key, None) is not None else 404, b"")
