"""A server with vLLM's command line and protocol that knows one word, and misbehaves on command (STAND_IN in its environment)."""

from __future__ import annotations

import json
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODULE = "vllm.entrypoints.openai.api_server"


def install(folder: Path) -> Path:
    """Make an environment in which `python -m` finds this program under vLLM's name; its interpreter. Its folder must be on PYTHONPATH."""
    program = folder.joinpath(*MODULE.split(".")).with_suffix(".py")
    program.parent.mkdir(parents=True)
    program.write_text(Path(__file__).read_text())
    (folder / "bin").mkdir()
    (folder / "bin" / "vllm").touch()
    (folder / "bin" / "python").symlink_to(sys.executable)
    return folder / "bin" / "python"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name = ""
    way = os.environ.get("STAND_IN", "")

    def do_GET(self) -> None:
        if self.path == "/health":
            self._send(503 if self.way == "sick" else 200, {})
        else:
            self._send(200, {"object": "list", "data": [{"id": self.name, "object": "model"}]})

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.way == "dies":
            print("torch.OutOfMemoryError: CUDA out of memory", flush=True)
            os._exit(1)
        if self.headers["Authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            self._send(401, {"error": {"message": "Unauthorized"}})
        elif self.way == "broken":
            self._send(500, {"error": {"message": "EngineCore encountered an issue"}})
        elif "model" not in request:
            self._send(400, {"error": {"message": "Field required: model"}})
        elif request["model"] != self.name:
            self._send(404, {"error": {"message": f"The model `{request['model']}` does not exist."}})
        else:
            grammar = request.get("structured_outputs", {}).get("grammar", "") if self.way != "old" else ""
            word = re.search(r'"(\w+)"', grammar)
            content = word.group(1) if word else "hello"
            message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
            self._send(200, {"id": "1", "object": "chat.completion", "created": 0, "model": self.name, "choices": [message]})

    def _send(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    told = dict(zip(sys.argv[1:], sys.argv[2:], strict=False))
    Handler.name = "another" if Handler.way == "other" else told["--served-model-name"]
    ThreadingHTTPServer(("127.0.0.1", int(told["--port"])), Handler).serve_forever()
