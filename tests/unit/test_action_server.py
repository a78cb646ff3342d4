"""Custom actions for real: a module run by rasa-sdk in a child process, and servers on loopback that misbehave."""

from __future__ import annotations

import json
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from core.dialogue import action_server
from core.dialogue.action_server import HttpActions, ModuleActions, actions_for, tracker_state
from core.dialogue.actions import ActionAnswer, ActionFailed, ActionUnavailable
from core.dialogue.events import BotSaid, SlotSet, StackChanged, UserSaid
from core.dialogue.stack import Frame
from core.dialogue.tracker import Tracker

ACTIONS = """
import asyncio, os
from rasa_sdk import Action
from rasa_sdk.events import SlotSet
from rasa_sdk.interfaces import ActionExecutionRejection


class Price(Action):
    def name(self):
        return "action_price"

    def run(self, dispatcher, tracker, domain):
        print("words of an action go nowhere near the protocol")
        weight = tracker.get_slot("weight")
        dispatcher.utter_message(text=f"{tracker.latest_message['text']}: {weight} kg to {domain['slots']}")
        return [SlotSet("price", weight * 2.5)]


class Patient(Action):
    def name(self):
        return "action_patient"

    async def run(self, dispatcher, tracker, domain):
        await asyncio.sleep(0)
        return [SlotSet("process", os.getpid())]


class Rejects(Action):
    def name(self):
        return "action_rejects"

    def run(self, dispatcher, tracker, domain):
        raise ActionExecutionRejection("action_rejects", "not now")


class Raises(Action):
    def name(self):
        return "action_raises"

    def run(self, dispatcher, tracker, domain):
        raise RuntimeError("boom")


class Odd(Action):
    def name(self):
        return "action_odd"

    def run(self, dispatcher, tracker, domain):
        return [SlotSet("price", {1, 2})]


class Quits(Action):
    def name(self):
        return "action_quits"

    def run(self, dispatcher, tracker, domain):
        print("good bye")
        os._exit(3)
"""


@contextmanager
def module(root: Path, source: str = ACTIONS) -> Iterator[ModuleActions]:
    (root / "actions.py").write_text(textwrap.dedent(source))
    actions = ModuleActions("actions", root, {"slots": "Rome"})
    try:
        yield actions
    finally:
        actions.close()


@pytest.fixture
def tracker() -> Tracker:
    found = Tracker({"weight": 2.0}, "somebody")
    found.apply(UserSaid("how much", metadata={"channel": "web"}))
    return found


def test_a_module_answers_and_leaves_nothing_behind(tmp_path, tracker):
    before = set(psutil.Process().children())
    with module(tmp_path) as actions:
        assert set(psutil.Process().children()) == before  # nothing runs until it is needed
        answer = actions.run("action_price", tracker)
        pid = actions.run("action_patient", tracker).events[0]["value"]
        for name, error, said in [
            ("action_rejects", ActionFailed, "action action_rejects was rejected: not now"),
            ("action_raises", ActionFailed, "action action_raises failed: HTTP 500: RuntimeError: boom"),
            ("action_odd", ActionFailed, "action action_odd failed: HTTP 500: .*set"),
            ("action_unheard_of", ActionUnavailable, "action action_unheard_of: the actions module actions does not"),
        ]:
            with pytest.raises(error, match=said):
                actions.run(name, tracker)
        assert actions.run("action_patient", tracker).events[0]["value"] == pid
    assert [(event["event"], event["name"], event["value"]) for event in answer.events] == [("slot", "price", 5.0)]
    assert [response["text"] for response in answer.responses] == ["how much: 2.0 kg to Rome"]
    assert not psutil.pid_exists(pid)
    assert set(psutil.Process().children()) == before


def test_threads_share_one_child(tmp_path, tracker):
    with module(tmp_path) as actions, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: actions.run("action_patient", tracker), range(8)))
    assert len({answer.events[0]["value"] for answer in answers}) == 1


def test_a_module_with_a_name_of_ours_is_the_owners(tmp_path, tracker):
    """`actions`, `events`, `commands` are also files beside the program that runs in the child."""
    (tmp_path / "events.py").write_text("answer = 42\n")
    source = ACTIONS.replace("import asyncio, os", "import asyncio, os, events\nassert events.answer == 42")
    with module(tmp_path, source) as actions:
        assert actions.run("action_price", tracker).events


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_here", "could not be started: ModuleNotFoundError: No module named 'nothing_here'"),
        ("def", "could not be started: SyntaxError: invalid syntax"),
        ("import os; os.environ['A_KEY_NOBODY_SETS']", "could not be started: KeyError: 'A_KEY_NOBODY_SETS'"),
    ],
)
def test_a_module_that_does_not_start_is_tried_once(tmp_path, tracker, source, said):
    with module(tmp_path, source) as actions:
        with pytest.raises(ActionUnavailable, match=f"action action_price: the actions module actions {said}"):
            actions.run("action_price", tracker)
        (tmp_path / "actions.py").write_text(ACTIONS)
        with pytest.raises(ActionUnavailable, match=f"action action_patient: the actions module actions {said}"):
            actions.run("action_patient", tracker)


def test_a_module_that_is_not_there(tmp_path, tracker):
    actions = ModuleActions("elsewhere", tmp_path, {})
    with pytest.raises(
        ActionUnavailable, match="could not be started: ModuleNotFoundError: No module named 'elsewhere'"
    ):
        actions.run("action_price", tracker)
    actions.close()


def test_a_module_that_takes_too_long_to_start(tmp_path, tracker, monkeypatch):
    monkeypatch.setattr(action_server, "START_SECONDS", 0.2)
    with (
        module(tmp_path, "import threading; threading.Event().wait()") as actions,
        pytest.raises(ActionUnavailable, match=r"did not start within 0\.2 s"),
    ):
        actions.run("action_price", tracker)


def test_a_child_that_dies_says_its_last_words(tmp_path, tracker):
    with module(tmp_path) as actions:
        with pytest.raises(ActionUnavailable, match="the actions module actions cannot be reached"):
            actions.run("action_quits", tracker)
        actions._process.wait()
        with pytest.raises(ActionUnavailable, match="the actions module actions has ended"):
            actions.run("action_price", tracker)


def test_without_the_sdk_the_extra_is_named(tmp_path, tracker, monkeypatch):
    monkeypatch.setattr(action_server.importlib.util, "find_spec", lambda name: None)
    with module(tmp_path) as actions, pytest.raises(ActionUnavailable, match=r"install calmtune\[actions\]"):
        actions.run("action_price", tracker)


@contextmanager
def server(body: object, status: int = 200) -> Iterator[tuple[str, list[dict[str, object]]]]:
    """(address, calls received) of a server that gives one answer."""
    calls: list[dict[str, object]] = []
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            with suppress(ConnectionError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/webhook", calls
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def test_what_an_action_server_is_told(tracker):
    with server({"events": None, "responses": [{"text": "hi"}]}) as (url, calls):
        actions = HttpActions(url, {"slots": {"weight": {"type": "float"}}})
        assert actions.run("action_price", tracker) == ActionAnswer((), ({"text": "hi"},))
        actions.close()
    assert calls[0]["next_action"] == "action_price"
    assert calls[0]["sender_id"] == "somebody"
    assert calls[0]["domain"] == {"slots": {"weight": {"type": "float"}}}
    assert calls[0]["tracker"] == tracker_state(tracker)


@pytest.mark.parametrize(
    ("body", "status", "error", "said"),
    [
        ({"error": "unknown"}, 404, ActionUnavailable, "the action server http://127.* does not know it"),
        ({"error": "too early"}, 400, ActionFailed, "action action_price was rejected: too early"),
        ({"error": "boom"}, 500, ActionFailed, "action action_price failed: HTTP 500: boom"),
        ("oh dear", 502, ActionFailed, "action action_price failed: HTTP 502: oh dear"),
        ("<html>", 200, ActionFailed, "did not answer with JSON"),
        ([1], 200, ActionFailed, "did not answer with JSON"),
        ({"events": 5}, 200, ActionFailed, "did not answer with JSON"),
        ({"events": ["slot"]}, 200, ActionFailed, "did not answer with JSON"),
    ],
)
def test_servers_that_misbehave(tracker, body, status, error, said):
    with server(body, status) as (url, _):
        actions = HttpActions(url, {})
        with pytest.raises(error, match=said):
            actions.run("action_price", tracker)
        actions.close()


def test_an_empty_answer_does_nothing(tracker):
    with server("null") as (url, _):
        actions = HttpActions(url, {})
        assert actions.run("action_price", tracker) == ActionAnswer()
        actions.close()


def test_a_server_that_does_not_answer(tracker):
    listener = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # accepts, and never reads
    actions = HttpActions(f"http://127.0.0.1:{listener.server_port}/webhook", {}, timeout_seconds=0.05)
    with pytest.raises(ActionFailed, match="did not answer in time"):
        actions.run("action_price", tracker)
    actions.close()
    listener.server_close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/webhook", "${NOBODY_SETS_THIS}/webhook", "http://[bad"])
def test_a_server_that_cannot_be_reached(tracker, url):
    actions = HttpActions(url, {})
    with pytest.raises(ActionUnavailable) as caught:
        actions.run("action_price", tracker)
    assert f"the action server {url} cannot be reached" in str(caught.value)
    actions.close()


def test_an_address_may_come_from_the_environment(tracker, monkeypatch):
    with server({}) as (url, calls):
        monkeypatch.setenv("ACTIONS_HOST", url.removesuffix("/webhook"))
        actions = HttpActions("${ACTIONS_HOST}/webhook", {})
        actions.run("action_price", tracker)
        actions.close()
    assert len(calls) == 1


def test_the_tracker_in_the_sdks_shape(tracker):
    from rasa_sdk.interfaces import Tracker as SdkTracker

    tracker.apply(BotSaid("2 kg?", "utter_ask_weight"))
    tracker.apply(SlotSet("weight", 3.0))
    tracker.apply(StackChanged((Frame("send_parcel", "weight", id=1), Frame("pattern_x", "start", "pattern", id=2))))
    read = SdkTracker.from_dict(json.loads(json.dumps(tracker_state(tracker))))
    assert read.sender_id == "somebody"
    assert read.get_slot("weight") == 3.0
    assert read.latest_message["text"] == "how much"
    assert read.latest_message["metadata"] == {"channel": "web"}
    assert [event["event"] for event in read.events] == ["user", "bot", "slot"]
    assert [(frame["flow_id"], frame["type"]) for frame in read.stack] == [
        ("send_parcel", "flow"),
        ("pattern_x", "pattern"),
    ]


FLOWS = "flows: {greet: {description: greet, steps: [{action: utter_hello}]}}"
DOMAIN = "version: '3.1'\nresponses: {utter_hello: [{text: Hello.}]}"


@pytest.mark.parametrize(
    ("endpoints", "kind"),
    [
        ("action_endpoint: {url: 'http://127.0.0.1:5055/webhook'}", HttpActions),
        ("action_endpoint: {actions_module: actions}", ModuleActions),
        (None, type(None)),
    ],
)
def test_endpoints_say_what_runs_the_actions(make_assistant, endpoints, kind):
    assert type(actions_for(make_assistant(FLOWS, DOMAIN, endpoints=endpoints))) is kind
