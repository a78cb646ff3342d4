"""The program that runs an assistant's actions module in a process of its own: `python -P action_program.py MODULE`, in its folder.

It is an action server on a free loopback port, with rasa-sdk finding and running the actions. The first line on stdout is the port; what
actions print goes to stderr. It ends when stdin closes, so it never outlives the process that started it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def main(module: str) -> None:
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    first_line = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, os.getcwd())
    from rasa_sdk.executor import ActionExecutor

    executor = ActionExecutor()
    executor.register_package(module)
    loop = asyncio.new_event_loop()  # one for all calls: actions may keep connections that belong to it
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(executor, loop))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with first_line:
        print(server.server_port, file=first_line)
    loop.run_forever()


def _end_with_stdin() -> None:
    while os.read(0, 4096):  # not sys.stdin: a thread inside it would break the interpreter's own exit
        pass
    os._exit(0)


def _handler(executor: Any, loop: asyncio.AbstractEventLoop) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = asyncio.run_coroutine_threadsafe(_answer(executor, call), loop).result()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


async def _answer(executor: Any, call: Any) -> tuple[int, bytes]:
    """(HTTP status, JSON) as rasa-sdk's own server gives them."""
    from rasa_sdk.interfaces import ActionExecutionRejection, ActionNotFoundException

    try:
        result = await executor.run(call)
        return 200, json.dumps(result.model_dump() if result else None).encode()
    except ActionExecutionRejection as error:
        status, reason = 400, error.message
    except ActionNotFoundException as error:
        status, reason = 404, error.message
    except Exception as error:  # the owner's code may raise anything
        traceback.print_exc()
        status, reason = 500, f"{type(error).__name__}: {error}"
    return status, json.dumps({"error": reason}).encode()


if __name__ == "__main__":
    main(sys.argv[1])
