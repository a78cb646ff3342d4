"""OpenAI's files and batches on loopback, in memory: a batch is done when it is asked for the third time."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rigs.chat_server import completion


class BatchServer:
    """Answers the requests of batches, and single ones, with `reply(prompt)`; None makes a request fail."""

    def __init__(self, reply: Callable[[str], str | None]) -> None:
        self.files: dict[str, str] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.single: list[str] = []
        self._asked: dict[str, int] = {}
        self._reply = reply
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path.endswith("/files"):
                    (content,) = re.findall(rb'filename="requests.jsonl".*?\r\n\r\n(.*?)\r\n--', body, re.DOTALL)
                    self._send(server._file(content.decode()))
                elif self.path.endswith("/batches"):
                    self._send(server._begin(json.loads(body)))
                else:
                    request = json.loads(body)
                    prompt = request["messages"][-1]["content"]
                    server.single.append(prompt)
                    self._send(completion(server._reply(prompt) or "", prompt, request["model"]))

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path.endswith("/content"):
                    self._send(server.files[path.split("/")[-2]])
                elif path.endswith("/batches"):
                    self._send({"object": "list", "data": list(server.batches.values()), "has_more": False})
                else:
                    self._send(server._look(path.rpartition("/")[2]))

            def _send(self, content: Any) -> None:
                data = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def _file(self, content: str) -> dict[str, Any]:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        fixed = {"object": "file", "created_at": 0, "filename": "f", "purpose": "batch", "status": "processed"}
        return {"id": name, "bytes": len(content), **fixed}

    def _begin(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = f"batch-{len(self.batches)}"
        self.batches[name] = {"id": name, "object": "batch", "created_at": 0, "status": "in_progress", **asked}
        return self.batches[name]

    def _look(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        self._asked[name] = self._asked.get(name, 0) + 1
        if self._asked[name] == 3:
            lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
            batch["output_file_id"] = self._file("\n".join(self._answer(line) for line in lines))["id"]
            batch["status"] = "completed"
            batch["request_counts"] = {"total": len(lines), "completed": len(lines), "failed": 0}
        return batch

    def _answer(self, line: dict[str, Any]) -> str:
        prompt = line["body"]["messages"][-1]["content"]
        text = self._reply(prompt)
        body = completion(text, prompt, "m") if text is not None else {"error": {"message": "not this one"}}
        response = {"status_code": 200 if text is not None else 400, "body": body}
        return json.dumps({"id": "1", "custom_id": line["custom_id"], "response": response, "error": None})

    @contextmanager
    def running(self) -> Iterator[BatchServer]:
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()
