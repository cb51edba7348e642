"""A hub of one data set on this machine, as far as ``huggingface_hub`` asks it for names and contents."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "owner/name"


@contextmanager
def hub(files: dict[str, bytes]) -> Iterator[str]:
    """Serve ``{path: content}`` as :data:`NAME`; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, *_ = self.path.split("?")
            if path.startswith(f"/api/datasets/{NAME}"):
                _, is_tree, rest = path.partition("/tree/main")
                answer = json.dumps(tree(rest.strip("/")) if is_tree else {"id": NAME, "sha": "0" * 40})
                self.answer(200, answer.encode(), "application/json")
            elif path.startswith(f"/datasets/{NAME}/resolve/main/"):
                data = files[path.removeprefix(f"/datasets/{NAME}/resolve/main/")]
                first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
                self.answer(206, data[int(first) : int(last or len(data)) + 1], "application/octet-stream")
            else:
                self.answer(404, b"", "text/plain")

        def answer(self, status: int, body: bytes, content_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    def tree(folder: str) -> list[dict[str, object]]:
        inside = [path for path in files if path.startswith(f"{folder}/" if folder else "")]
        entries: list[dict[str, object]] = [
            {"type": "file", "path": path, "size": len(files[path]), "oid": f"{number:040}"}
            for number, path in enumerate(inside)
        ]
        folders = {path.split("/")[0] for path in inside if "/" in path and not folder}
        return entries + [{"type": "directory", "path": path, "oid": "1" * 40} for path in sorted(folders)]

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
