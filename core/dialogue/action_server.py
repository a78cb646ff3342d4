"""Custom actions over HTTP: a running action server, or the assistant's own actions module in a child process."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from core.assistant.project import Assistant
from core.dialogue.actions import ActionAnswer, ActionFailed, Actions, ActionUnavailable
from core.dialogue.events import BotSaid, SlotSet, UserSaid
from core.dialogue.tracker import Tracker

if TYPE_CHECKING:
    import httpx

TIMEOUT_SECONDS = 10.0
START_SECONDS = 60.0
_PROGRAM = Path(__file__).with_name("action_program.py")


class HttpActions:
    """An action server that speaks rasa-sdk's protocol. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        domain: Mapping[str, Any],
        timeout_seconds: float = TIMEOUT_SECONDS,
        shown_as: str | None = None,
        proxies: bool = True,
    ) -> None:
        """`${VARIABLE}` in `url` is filled from the environment; `proxies` False goes past those the environment names."""
        import httpx

        self._url = os.path.expandvars(url)
        self._shown_as = shown_as or f"the action server {url}"
        self._domain = dict(domain)
        self._client = httpx.Client(timeout=timeout_seconds, trust_env=proxies)

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
            answer = self._client.post(self._url, json=call)
        except httpx.TimeoutException as error:
            raise ActionFailed(f"action {name}: {self._shown_as} did not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ActionUnavailable(f"action {name}: {self._shown_as} cannot be reached ({error})") from error
        if answer.status_code == 404:
            raise ActionUnavailable(f"action {name}: {self._shown_as} does not know it")
        if answer.status_code == 400:
            raise ActionFailed(f"action {name} was rejected: {_reason(answer)}")
        if answer.status_code != 200:
            raise ActionFailed(f"action {name} failed: HTTP {answer.status_code}: {_reason(answer)}")
        try:
            body = answer.json() or {}
            return ActionAnswer(_mappings(body.get("events")), _mappings(body.get("responses")))
        except (ValueError, AttributeError, TypeError) as error:
            raise ActionFailed(
                f"action {name}: {self._shown_as} did not answer with JSON holding lists of events and responses"
            ) from error

    def close(self) -> None:
        self._client.close()


def _mappings(found: Any) -> tuple[Mapping[str, Any], ...]:
    entries = tuple(found or ())
    if not all(isinstance(entry, dict) for entry in entries):
        raise TypeError("not a list of mappings")
    return entries


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]


class ModuleActions:
    """The assistant's `actions_module`, run in a child process that is started when first needed. Safe to use from several threads."""

    def __init__(self, module: str, root: Path, domain: Mapping[str, Any], python: str = sys.executable) -> None:
        self._shown_as = f"the actions module {module}"
        self._module, self._root, self._domain, self._python = module, root, domain, python
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._http: HttpActions | None = None
        self._unavailable: str | None = None

    def run(self, name: str, tracker: Tracker) -> ActionAnswer:
        with self._lock:
            try:
                http = self._running()
            except ActionUnavailable as error:
                self._unavailable = str(error)
                raise ActionUnavailable(f"action {name}: {error}") from error
        return http.run(name, tracker)

    def _running(self) -> HttpActions:
        """The child's server, started if need be; what failed once is not tried again."""
        if self._unavailable is not None:
            raise ActionUnavailable(self._unavailable)
        if self._process is not None and self._process.poll() is not None:
            raise ActionUnavailable(f"{self._shown_as} has ended: {self._last_words()}")
        if self._http is None:
            address = f"http://127.0.0.1:{self._start()}/webhook"
            self._http = HttpActions(address, self._domain, shown_as=self._shown_as, proxies=False)
        return self._http

    def _start(self) -> int:
        """Start the child; the port it serves on."""
        if importlib.util.find_spec("rasa_sdk") is None:
            raise ActionUnavailable("running an actions module needs rasa-sdk; install calmtune[actions]")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the child runs; closed in close()
        command = [self._python, "-P", str(_PROGRAM), self._module]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=self._root, stdin=pipe, stdout=pipe, stderr=self._log)
        limit = threading.Timer(START_SECONDS, self._process.kill)
        limit.start()
        assert self._process.stdout is not None
        port = self._process.stdout.readline()
        limit.cancel()
        if port:
            return int(port)
        if self._process.wait() == -signal.SIGKILL:
            raise ActionUnavailable(f"{self._shown_as} did not start within {START_SECONDS:g} s")
        raise ActionUnavailable(f"{self._shown_as} could not be started: {self._last_words()}")

    def _last_words(self) -> str:
        assert self._log is not None
        self._log.seek(0)
        lines = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def close(self) -> None:
        """Stop the child process, if it was started."""
        if self._http is not None:
            self._http.close()
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()  # the child ends with its stdin
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
        if self._log is not None:
            self._log.close()
        self._process = self._log = self._http = None


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
