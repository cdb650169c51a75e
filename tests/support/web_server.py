"""A web server on loopback whose answers a test chooses."""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class Answer:
    """What the server sends for a path and its query."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def served(answers: dict[str, Answer]) -> Iterator[str]:
    """Give the address of a server that sends `answers`, by path or by path and query; 404 for any other."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            missing = Answer(b"not here", 404)
            answer = answers.get(self.path) or answers.get(self.path.partition("?")[0]) or missing
            self.send_response(answer.status)
            for name, value in ({"Content-Length": str(len(answer.body))} | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def do_HEAD(self) -> None:
            """Refuse, as stores do for an address that is signed for GET."""
            self.send_error(403)

        def log_message(self, *arguments: object) -> None:
            """Log nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
