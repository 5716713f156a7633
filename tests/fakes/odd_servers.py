"""An HTTP server that answers an OPA server's questions with what no OPA should say."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class OddServer:
    """Answers every question with the same bytes, and counts the questions and connections."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b"{}"
        self.content_type = "application/json"
        self.waits_s = 0.0
        self.hangs_up = False
        self.asked: list[tuple[str, bytes]] = []
        self.connections = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler_for(server: OddServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            server.connections += 1
            super().setup()

        def do_POST(self) -> None:
            server.asked.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            time.sleep(server.waits_s)
            if server.hangs_up:
                self.close_connection = True
                return
            self.send_response(server.status)
            self.send_header("content-length", str(len(server.body)))
            self.send_header("content-type", server.content_type)
            self.end_headers()
            self.wfile.write(server.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its parent's name
            """Say nothing: the parent writes each request to stderr."""

    return Handler
