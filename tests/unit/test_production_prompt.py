"""The template for production renders the prompts of training, wherever a conversation stands."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from jinja2 import Environment

from core import demo
from core.dialogue.commands import SetSlot, StartFlow
from core.dialogue.production_prompt import is_ours, production_template
from core.dialogue.prompt import PromptRenderer
from core.dialogue.source import UserMessage
from core.e2e.recording import read_recording
from core.e2e.runner import run_tests
from core.evaluation.review import workbench

ASSISTANTS = Path(__file__).resolve().parents[1] / "assistants"
PLACES = {
    "hostel": (demo.assistant_folder(), demo.commands_file()),
    **{name: (ASSISTANTS / name, ASSISTANTS / name / "commands.yml") for name in ("garage", "museum")},
}


class Compared:
    """A recording that looks at both prompts of each turn first."""

    def __init__(self, source, renderers, seen):
        self._source, self._renderers, self._seen = source, renderers, seen

    async def predict(self, tracker, message):
        for trained, served in self._renderers:
            prompt = trained.render(tracker, message.text)
            assert served.render(tracker, message.text) == prompt
            self._seen.add(prompt)
        return await self._source.predict(tracker, message)


@pytest.mark.parametrize("place", PLACES)
def test_it_renders_what_training_rendered(place, tmp_path):
    folder, commands = PLACES[place]
    bench, recording = workbench(folder, None), read_recording(commands)
    renderers, seen = [], set()
    for turns in (None, 0, 1, 3):
        trained = PromptRenderer(bench.engine.assistant, "v2", None, turns, bench.engine.index)
        path = tmp_path / f"{turns}.jinja2"
        path.write_text(production_template(trained), encoding="utf-8")
        renderers.append((trained, PromptRenderer(bench.engine.assistant, "v2", path, index=bench.engine.index)))
    try:
        cases = [case for case in bench.suite.cases if case.id in recording.turns]
        results = asyncio.run(
            run_tests(
                bench.engine,
                cases,
                lambda case: Compared(recording.source_for(case), renderers, seen),
                actions=bench.actions,
                require_actions=False,
            )
        )
    finally:
        bench.close()
    assert [result.error for result in results if result.error] == []
    assert len(seen) > len(cases)


def test_it_says_whose_it_is(tmp_path):
    bench = workbench(demo.assistant_folder(), None)
    ours, other = tmp_path / "ours.jinja2", tmp_path / "other.jinja2"
    ours.write_text(production_template(bench.renderer()), encoding="utf-8")
    other.write_text("{{ user_message }}", encoding="utf-8")
    assert [is_ours(path) for path in (ours, other, tmp_path / "none", None)] == [True, False, False, False]
    assert "train again" in ours.read_text(encoding="utf-8").split("#}")[0]


@pytest.mark.parametrize("settings", [{}, {"trim_blocks": True, "lstrip_blocks": True}])
def test_line_breaks_do_not_depend_on_who_renders_it(settings):
    """Where the assistant runs, the template is rendered by somebody else's Jinja."""
    bench = workbench(demo.assistant_folder(), None)
    trained = PromptRenderer(bench.engine.assistant, "v2", None, 0, bench.engine.index)
    tracker = bench.engine.new_tracker()
    bench.engine.start(tracker)
    bench.engine.handle(tracker, UserMessage("a bed in the attic"), [StartFlow("book_bed"), SetSlot("room", "attic")])
    text = Environment(**settings).from_string(production_template(trained)).render(
        available_flows=[{"name": flow.id} for flow in bench.assistant.business_flows if not flow.never_startable],
        flow_slots=[{"name": "room", "value": "attic"}, {"name": "nights", "value": None}],
        current_flow="book_bed",
        current_slot="arrival",
        current_conversation="\n".join(f"{who}: {said}" for who, said in [*tracker.transcript(), ("USER", "Friday")]),
        user_message="Friday",
    )
    assert text == trained.render(tracker, "Friday")
