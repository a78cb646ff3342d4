"""Whatever stands in the files of a project, reading it ends in a value or in sentences with file and line."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from core.assistant.project import load_assistant
from core.assistant.source import YamlList, YamlMapping, parse_yaml
from core.errors import CalmtuneError, ProblemsError

PROJECT: dict[str, Any] = yaml.safe_load("""
flows:
  flows:
    order:
      name: order
      description: order something
      if: slots.member
      always_include_in_prompt: false
      nlu_trigger: [{intent: {name: order, confidence_threshold: 0.5}}]
      persisted_slots: [size]
      steps:
        - collect: size
          description: how large
          ask_before_filling: false
          utter: utter_ask_size
          rejections: [{if: slots.size is null, utter: utter_done}]
          next: [{if: slots.member, then: [{action: utter_done, next: END}]}, {else: fill}]
        - {id: fill, set_slots: [{member: true}]}
        - {noop: true, next: called}
        - {id: called, call: pay}
        - {link: pay}
    pay: {description: pay, steps: [{action: utter_done}]}
domain:
  slots:
    size:
      type: categorical
      values: [small, large]
      initial_value: small
      mappings: [{type: from_llm, allow_nlu_correction: true}]
      validation: {rejections: [{if: slots.size is null, utter: utter_done}], refill_utter: utter_ask_size}
    member: {type: bool}
    weight: {type: float, min_value: 0, max_value: 5}
  responses:
    utter_ask_size: [{text: "Size?", buttons: [{title: S, payload: small}], condition: slots.member, channel: web}]
    utter_done: [{text: Done., condition: [{type: slot, name: member, value: true}], metadata: {template: jinja}}]
  actions: [action_pay, {action_other: {send_domain: true}}]
  intents: [greet]
  entities: [city]
  session_config: {session_expiration_time: 60, carry_over_slots_to_new_session: true}
config:
  language: en
  assistant_id: shop
  pipeline:
    - name: CompactLLMCommandGenerator
      llm: {model_group: strong}
      flow_retrieval: {active: false, num_flows: 20, turns_to_embed: 1, should_embed_slots: true}
      user_input: {max_characters: 420}
      include_date_time: true
  policies: [{name: FlowPolicy}]
endpoints:
  action_endpoint: {url: "http://127.0.0.1:5055/webhook", actions_module: actions}
  nlg: {type: rephrase}
  model_groups:
    - id: strong
      models:
        - {provider: openai, model: m, api_base: "http://127.0.0.1", api_key: "${KEY}", timeout: 7, temperature: 0, max_tokens: 9}
""")
WRONG: tuple[Any, ...] = (None, True, 7, float("inf"), "", "some text", "${KEY}", [], [7], [{"a": 1}], {}, {"a": 1})


DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all values inside."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


def write(root: Path, project: dict[str, Any]) -> Path:
    for file, content in project.items():
        (root / f"{file}.yml").write_text(yaml.dump(content, Dumper=DUMPER))
    return root


def test_the_project_is_read(tmp_path: Path) -> None:
    assistant = load_assistant(write(tmp_path, PROJECT))
    assert [step.slot for step in assistant.collects_of("order")] == ["size"]


@pytest.mark.parametrize("file", PROJECT)
@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a_wrong_value_anywhere_is_read_or_refused_in_sentences(tmp_path: Path, file: str, wrong: Any) -> None:
    write(tmp_path, PROJECT)
    named: set[str] = set()
    for place in places(PROJECT[file]):
        content = copy.deepcopy(PROJECT[file])
        holder: Any = content
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = wrong
        write(tmp_path, {file: content})
        try:
            load_assistant(tmp_path)
        except ProblemsError as error:
            named |= {problem.file for problem in error.problems}
        except Exception as error:
            raise AssertionError(f"{wrong!r} at {place}") from error
    assert named <= {"data", *(f"{name}.yml" for name in PROJECT)}


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=" \n\t-:{}[]|>&*!'\"#abx0\x00\u2028", max_size=60))
def test_any_text_is_yaml_or_a_problem(text: str) -> None:
    with contextlib.suppress(CalmtuneError):
        parse_yaml(text, "some.yml")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "yes", "two\nlines\n", "12:30", "~"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(VALUES, st.sampled_from([None, True, False]))
def test_lines_are_those_of_the_text(value: Any, flow_style: bool | None) -> None:
    text = yaml.safe_dump({"outer": value, "last": [1]}, sort_keys=False, default_flow_style=flow_style)
    rows = text.splitlines()
    content = parse_yaml(text, "some.yml")

    def check(node: Any) -> None:
        if isinstance(node, YamlMapping):
            for key, inner in node.items():
                assert f"{key}:" in rows[node.line_of(key) - 1]
                check(inner)
        if isinstance(node, YamlList):
            for item, lines in zip(node, node.item_lines, strict=True):
                assert node.lines.first <= lines.first <= lines.last <= node.lines.last <= len(rows)
                check(item)

    check(content)
    assert content == yaml.safe_load(text)
