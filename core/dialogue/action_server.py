"""Custom actions over HTTP: a running action server, or the assistant's own actions module served by rasa-sdk in a child process."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from core.assistant.project import Assistant
from core.dialogue.actions import ActionAnswer, ActionFailed, Actions, ActionUnavailable
from core.dialogue.events import BotSaid, SlotSet, UserSaid
from core.dialogue.tracker import Tracker

TIMEOUT_SECONDS = 10.0
START_SECONDS = 60.0


class HttpActions:
    """An action server that speaks rasa-sdk's protocol."""

    def __init__(self, url: str, domain: Mapping[str, Any], timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        import httpx

        self.url = url
        self._domain = dict(domain)
        self._client = httpx.Client(timeout=timeout_seconds)

    def run(self, name: str, tracker: Tracker) -> ActionAnswer:
        import httpx

        call = {
            "next_action": name,
            "sender_id": tracker.sender,
            "tracker": tracker_state(tracker),
            "domain": self._domain,
            "version": "3.21.0",
        }
        try:
            answer = self._client.post(self.url, json=call)
        except httpx.TimeoutException as error:
            raise ActionFailed(f"action {name}: the action server {self.url} did not answer in time") from error
        except httpx.HTTPError as error:
            raise ActionUnavailable(
                f"action {name}: the action server {self.url} cannot be reached ({error})"
            ) from error
        if answer.status_code == 404:
            raise ActionUnavailable(f"action {name}: the action server {self.url} does not know it")
        if answer.status_code != 200:
            raise ActionFailed(f"action {name} failed: HTTP {answer.status_code}: {answer.text[:300]}")
        try:
            body = answer.json()
            return ActionAnswer(tuple(body.get("events") or ()), tuple(body.get("responses") or ()))
        except (ValueError, AttributeError) as error:
            raise ActionFailed(f"action {name}: the action server {self.url} did not answer in JSON") from error

    def close(self) -> None:
        self._client.close()


class ModuleActions:
    """The assistant's `actions_module`, run by rasa-sdk's server in a child process on loopback, started when first needed."""

    def __init__(self, module: str, root: Path, domain: Mapping[str, Any], python: str = sys.executable) -> None:
        self._module, self._root, self._domain, self._python = module, root, domain, python
        self._server: subprocess.Popen[bytes] | None = None
        self._http: HttpActions | None = None
        self._unavailable: str | None = None
        self._log: IO[bytes] | None = None

    def run(self, name: str, tracker: Tracker) -> ActionAnswer:
        if self._unavailable is not None:
            raise ActionUnavailable(f"action {name}: {self._unavailable}")
        if self._http is None:
            try:
                self._http = self._start()
            except ActionUnavailable as error:
                self._unavailable = str(error)
                raise ActionUnavailable(f"action {name}: {error}") from error
        return self._http.run(name, tracker)

    def _start(self) -> HttpActions:
        if importlib.util.find_spec("rasa_sdk") is None:
            raise ActionUnavailable("running an actions module needs rasa-sdk; install calmtune[actions]")
        path = self._root / self._module.replace(".", "/")
        if not path.is_dir() and not path.with_suffix(".py").is_file():
            raise ActionUnavailable(f"the actions module {self._module} is not in {self._root}")
        port = _free_port()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the server runs; closed in close()
        command = [self._python, "-m", "rasa_sdk", "--actions", self._module, "--port", str(port)]
        environment = {
            **os.environ,
            "SANIC_HOST": "127.0.0.1",
            "PYTHONPATH": os.pathsep.join([str(self._root.resolve()), os.environ.get("PYTHONPATH", "")]),
        }
        self._server = subprocess.Popen(command, cwd=self._root, stdout=self._log, stderr=self._log, env=environment)
        self._wait_until_ready(port)
        return HttpActions(f"http://127.0.0.1:{port}/webhook", self._domain)

    def _wait_until_ready(self, port: int) -> None:
        import httpx

        assert self._server is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._server.poll() is not None:
                raise ActionUnavailable(f"the actions module {self._module} could not be started: {self._last_words()}")
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=1.0).status_code == 200:
                    return
            except httpx.HTTPError:
                time.sleep(0.1)
        self.close()
        raise ActionUnavailable(f"the actions module {self._module} did not start within {START_SECONDS:g} s")

    def _last_words(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        lines = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def close(self) -> None:
        """Stop the child process, if it was started."""
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._http is not None:
            self._http.close()
        if self._server is not None and self._server.poll() is None:
            self._server.terminate()
            try:
                self._server.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()


def actions_for(assistant: Assistant) -> Actions | None:
    """What endpoints.yml says runs the custom actions; None when it says nothing."""
    settings = assistant.settings
    if settings.action_url:
        return HttpActions(settings.action_url, assistant.domain.raw)
    if settings.actions_module:
        return ModuleActions(settings.actions_module, assistant.root, assistant.domain.raw)
    return None


def tracker_state(tracker: Tracker) -> dict[str, Any]:
    """The conversation in the SDK's JSON shape."""
    latest = next((event for event in reversed(tracker.events) if isinstance(event, UserSaid)), None)
    events = [_as_json(event) for event in tracker.session_events if isinstance(event, (UserSaid, BotSaid, SlotSet))]
    return {
        "sender_id": tracker.sender,
        "slots": dict(tracker.slots),
        "latest_message": {
            "text": latest.text if latest else None,
            "intent": {"name": None, "confidence": 1.0},
            "entities": [],
            "metadata": dict(latest.metadata) if latest else {},
        },
        "events": events,
        "paused": False,
        "latest_action_name": None,
        "latest_input_channel": "calmtune",
        "followup_action": None,
        "active_loop": {},
        "latest_event_time": None,
        "stack": [
            {
                "frame_id": str(frame.id),
                "flow_id": frame.flow,
                "step_id": frame.step,
                "type": "pattern" if frame.is_pattern else "flow",
            }
            for frame in tracker.stack
        ],
    }


def _as_json(event: UserSaid | BotSaid | SlotSet) -> dict[str, Any]:
    if isinstance(event, UserSaid):
        return {"event": "user", "text": event.text, "metadata": dict(event.metadata), "parse_data": {}}
    if isinstance(event, BotSaid):
        return {"event": "bot", "text": event.text, "data": {}, "metadata": {"utter_action": event.utter}}
    return {"event": "slot", "name": event.name, "value": event.value}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
