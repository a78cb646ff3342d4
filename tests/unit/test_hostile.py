"""Input made to hang, crash or break out: every time a sentence and exit code 2, within limits on memory and processor time."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rigs.generated import write_project

from core.assistant import templates
from core.assistant.project import load_assistant
from core.assistant.source import DEEPEST, parse_yaml
from core.dialogue.commands import SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.source import UserMessage
from core.e2e.reader import read_tests
from core.errors import ProblemsError

ROOT = Path(__file__).resolve().parents[2]
MEMORY, SECONDS = 3 << 30, 100
"""What a child may take before the system ends it; all of these stay far below."""
FLOWS = """
flows:
  order:
    description: order something
    steps:
      - collect: code
      - action: utter_done
"""
DOMAIN = """
slots:
  code: {type: text}
responses:
  utter_ask_code: [{text: Which code?}]
  utter_done: [{text: Done.}]
"""
TESTS = """
test_cases:
  - test_case: order
    steps:
      - user: I want to order something
      - utter: utter_ask_code
      - user: the code is aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab
      - utter: utter_done
"""
SLOW = "^(a|aa)+$"


def project(root: Path, flows: str = FLOWS, domain: str = DOMAIN, tests: str | bytes = TESTS, config: str = "") -> Path:
    (root / "config.yml").write_text(config or "language: en\n")
    (root / "flows.yml").write_text(flows)
    (root / "domain.yml").write_text(domain)
    (root / "e2e_tests").mkdir(exist_ok=True)
    (root / "e2e_tests" / "all.yml").write_bytes(tests if isinstance(tests, bytes) else tests.encode())
    return root


def coverage(root: Path, commands: str = "infer") -> subprocess.CompletedProcess[str]:
    """`calmtune coverage` in a process that the system ends when it takes too much."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))

    call = [sys.executable, "-m", "tui.cli", "coverage", str(root), "--commands", commands, "--out", str(root / "out")]
    return subprocess.run(call, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limit)


def refused(root: Path, *told: str) -> None:
    """The command line says all of it and ends with 2."""
    done = coverage(root)
    assert done.returncode == 2, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert "a mistake in calmtune" not in done.stderr
    assert len(done.stderr) < 100_000
    for text in told:
        assert text in done.stderr


# Files


def bomb() -> str:
    levels = [f"  l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]" for level in range(1, 12)]
    return "\n".join(["flows: {}", "bomb:", "  l0: &l0 [x, x]", *levels])


FILES: dict[str, tuple[Callable[[], str], str]] = {
    "fifty megabytes": (lambda: FLOWS + "#" * 50_000_000, "flows.yml: the file is larger than 20 MB; split it"),
    "values without end": (lambda: FLOWS + "x: [" + "a," * 6_000_000 + "a]", "more than 1,000,000 values"),
    "aliases that multiply": (bomb, "aliases that multiply each other are not read"),
    "an alias in itself": (lambda: FLOWS + "x: &x [*x]", "flows.yml:8: an alias contains itself"),
    "open brackets": (lambda: FLOWS + "x: " + "[" * 500_000, "flows.yml:8: "),
    "open braces": (lambda: FLOWS + "x: " + "{a: " * 100_000, "flows.yml:8: not readable: nested too deeply"),
    "a deep list": (lambda: FLOWS + "x:\n  " + "- " * 200_000, "flows.yml:9: not readable: nested too deeply"),
    "the same key again": (lambda: FLOWS + "x: 1\n" * 200_000, "problems"),
    "wrong keys": (lambda: FLOWS + "".join(f"  f{n}: {{step: []}}\n" for n in range(20_000)), "has no steps"),
    "a deep condition": (lambda: FLOWS.replace("steps", f"if: {'(' * 4000}\n    steps", 1), "nested too deeply"),
    "a long condition": (lambda: FLOWS.replace("steps", f"if: {'a or ' * 40000}\n    steps", 1), "longer than"),
    "a control character": (lambda: FLOWS.replace("order something", "a\0b"), "flows.yml:4: not valid YAML: a control"),
}


@pytest.mark.parametrize("name", FILES)
def test_files(tmp_path: Path, name: str) -> None:
    make, told = FILES[name]
    refused(project(tmp_path, flows=make()), told)


def test_nesting_that_people_write_is_read() -> None:
    levels = DEEPEST - 2
    assert parse_yaml("[" * levels + "]" * levels, "some.yml")


@pytest.mark.parametrize(
    ("tests", "told"),
    [
        (TESTS.replace("order something", "caf\xe9").encode("latin-1"), "all.yml:5: the file is not UTF-8"),
        (TESTS.replace("order something", "a\0b").encode(), "all.yml:5: not valid YAML: a control character"),
        (TESTS.encode("utf-16"), "all.yml:1: the file is not UTF-8"),
        (b"\xff" * 100_000, "all.yml:1: the file is not UTF-8"),
    ],
)
def test_test_files_in_other_encodings(tmp_path: Path, tests: bytes, told: str) -> None:
    project(tmp_path, tests=tests)
    with pytest.raises(ProblemsError, match=told):
        read_tests(tmp_path / "e2e_tests", tmp_path)


def test_a_latin_1_test_file_on_the_command_line(tmp_path: Path) -> None:
    tests = TESTS.replace("order something", "caf\xe9").encode("latin-1") + b"# test_cases"
    refused(project(tmp_path, tests=tests), "e2e_tests/all.yml:5: the file is not UTF-8; save it as UTF-8")


# Flows


def flow(name: str, steps: str) -> str:
    return f"  {name}:\n    description: about {name}\n    steps: [{steps}]\n"


CIRCLES = {
    "a link to itself": (flow("a", "{link: a}"), "flow a links to a and never ends or asks anything"),
    "links to each other": (
        flow("a", "{action: utter_done}, {link: b}") + flow("b", "{noop: true, next: l}, {id: l, link: a}"),
        "flow b goes on from step 0_noop and never ends or asks anything",
    ),
    "whatever the condition": (
        flow("a", "{noop: true, next: [{if: slots.code, then: [{link: a}]}, {else: [{link: a}]}]}"),
        "flow a goes on from step 0_noop and never ends",
    ),
    "a jump back": (flow("a", "{id: x, action: utter_done, next: x}"), "flow a goes on from step x and never ends"),
    "a call of itself": (flow("a", "{call: a}"), "call of a, which comes to call itself"),
    "calls of each other": (flow("a", "{call: b}") + flow("b", "{call: a}"), "call of b, which comes to call itself"),
    "a chain of calls": (
        "".join(flow(f"f{n}", f"{{call: f{n + 1}}}") for n in range(3000)) + flow("f3000", "{collect: code}"),
        "call of f1, which comes to call more than 500 flows",
    ),
}


@pytest.mark.parametrize("name", CIRCLES)
def test_circles_of_flows(tmp_path: Path, name: str) -> None:
    flows, told = CIRCLES[name]
    with pytest.raises(ProblemsError, match=rf"flows\.yml:\d+: {told}"):
        load_assistant(project(tmp_path, flows="flows:\n" + flows))


def test_a_circle_on_the_command_line(tmp_path: Path) -> None:
    refused(project(tmp_path, flows="flows:\n" + flow("a", "{link: a}")), "flows.yml:4: flow a links to a")


@pytest.mark.parametrize(
    "steps",
    [
        "{collect: code}, {link: a}",
        "{noop: true, next: [{if: slots.code, then: END}, {else: [{link: a}]}]}",
        "{noop: true, next: [{if: not slots.code, then: [{link: a}]}]}",
        "{action: action_listen}, {link: a}",
        "{call: b}, {link: a}",
    ],
)
def test_circles_that_stop_somewhere_are_run(tmp_path: Path, steps: str) -> None:
    root = project(tmp_path, flows="flows:\n" + flow("a", steps) + flow("b", "{collect: code}"))
    engine = Engine(load_assistant(root))
    tracker = engine.new_tracker()
    engine.start(tracker)
    for _ in range(3):
        engine.handle(tracker, UserMessage("go"), (StartFlow("a"), SetSlot("code", "x")))


def test_ten_thousand_flows(tmp_path: Path) -> None:
    recording = write_project(tmp_path, flows=10_000, tests=20)
    done = coverage(tmp_path, str(recording))
    assert "=== 20 passed ===" in done.stdout, done.stderr[-3000:]
    assert done.returncode == 5  # twenty tests do not cover them


def test_ten_thousand_flows_and_no_responses(tmp_path: Path) -> None:
    write_project(tmp_path, flows=3000, tests=1)
    (tmp_path / "domain.yml").write_text("slots: {code: {type: text}}")
    refused(tmp_path, "data/flows_00000.yml:5: slot open_card_home_reference is not in the domain", "more problems")


# Patterns


def test_a_pattern_in_a_rejection_that_takes_too_long(tmp_path: Path) -> None:
    rejection = f"- collect: code\n        rejections: [{{if: slots.code matches '{SLOW}', utter: utter_done}}]"
    flows = FLOWS.replace("- collect: code", rejection)
    refused(
        project(tmp_path, flows=flows), "flows.yml:7: in the condition", "takes longer than 1 s", "write it without"
    )


def test_a_pattern_in_a_branch_that_takes_too_long(tmp_path: Path) -> None:
    way = f"- collect: code\n        next: [{{if: slots.code matches '{SLOW}', then: END}}, {{else: done}}]"
    flows = FLOWS.replace("- collect: code", way).replace("- action", "- id: done\n        action")
    refused(project(tmp_path, flows=flows), "flows.yml:7: in the condition", "takes longer than 1 s")


@pytest.mark.parametrize(
    ("wanted", "domain"),
    [
        (
            "validation: {rejections: [{if: \"slots.code matches 'SLOW'\", utter: utter_done}]}",
            "domain.yml:3: in the condition",
        ),
        ("response", "domain.yml:6: in the condition"),
    ],
)
def test_a_pattern_in_the_domain_that_takes_too_long(tmp_path: Path, wanted: str, domain: str) -> None:
    changed = DOMAIN.replace("{text: Done.}", f"{{text: Done., condition: \"slots.code matches '{SLOW}'\"}}")
    if wanted != "response":
        changed = DOMAIN.replace("type: text", "type: text, " + wanted.replace("SLOW", SLOW))
    refused(project(tmp_path, domain=changed), domain, "takes longer than 1 s")


def test_a_text_that_a_test_expects_with_a_pattern_that_takes_too_long(tmp_path: Path) -> None:
    tests = f"""
test_cases:
  - test_case: order
    steps:
      - user: I want to order something
        assertions: [{{bot_uttered: {{text_matches: "{SLOW}"}}}}]
"""
    domain = DOMAIN.replace("Which code?", "a" * 60 + "?")
    refused(
        project(tmp_path, domain=domain, tests=tests), "e2e_tests/all.yml:6: in bot_uttered", "takes longer than 1 s"
    )


# Templates

TEMPLATES = {
    "{{ ''.__class__.__mro__ }}": "__mro__ may not be reached from a template",
    "{{ cycler.__init__.__globals__ }}": "may not be reached from a template",
    "{{ ''|attr('__class__') }}": "No filter named 'attr'",
    "{{ 'a'.format(1) }}": "format may not be called in a template",
    "{{ '%1000000000d'|format(1) }}": "widths of two digits at most",
    "{{ '%%%-0999d'|format(1) }}": "widths of two digits at most",
    "{{ '%.*f'|format(999999999, 1.0) }}": "widths of two digits at most",
    "{{ '%(a(b))999999999d'|format(**{'a(b)': 1}) }}": "format takes values without names",
    "{{ ('%99d' * 90000)|format(1) }}": "a value grows beyond",
    "{% for i in range(10**9) %}x{% endfor %}": "Range too big",
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}": "it does too much",
    "{% for i in range(99999) %}{% for j in range(99999) if false %}{% endfor %}{% endfor %}": "it does too much",
    "{% for i in range(99999) %}" + "{% if slots %}{% endif %}" * 100 + "{% endfor %}": "it does too much",
    "{{ 'a' * 10**9 }}": "a value grows beyond",
    "{{ 'a'.replace('a', 'b' * 2000).replace('b', 'c' * 2000) }}": "a value grows beyond",
    "{{ '%1000000000d' % 1 }}": "% takes numbers",
    "{{ 10**10000 }}": "a number grows too large",
    "{% set a = [1] %}" + "{% set a = [a, a] %}" * 60 + "{{ a }}": "a value grows beyond",
    "{% set a = 'aa' %}" + "{% set a = a ~ a %}" * 60: "a value grows beyond",
    "{% set a = 'aa' %}" + "{% set a %}{{ a }}{{ a }}{% endset %}" * 60: "a value grows beyond",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}": "a macro calls itself without end",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}": "it does too much",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% else %}aaaa{% endif %}{% endmacro %}{{ m(30)|length }}": (
        "it does too much"
    ),
    "{{ namespace.__init__.__globals__ }}": "may not be reached from a template",
    "{{ namespace(a=1).__class__ }}": "__class__ may not be reached from a template",
    "{% include '/etc/passwd' %}": "include is not for templates",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}": "recursion",
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_in_responses(tmp_path: Path, template: str) -> None:
    quoted = template.replace("'", "''")
    domain = DOMAIN.replace("{text: Done.}", f"{{text: '{quoted}', metadata: {{template: jinja}}}}")
    with pytest.raises(ProblemsError, match=r"domain\.yml:6: the template") as found:
        load_assistant(project(tmp_path, domain=domain))
    assert TEMPLATES[template] in str(found.value)


def test_amounts_are_written_as_owners_write_them() -> None:
    values = {"slots": {"price": 2.5, "who": "Ada"}}
    assert templates.render("{{ '%.2f EUR for %s, 100%% of 2000' | format(slots.price, slots.who) }}", values) == (
        "2.50 EUR for Ada, 100% of 2000"
    )
    assert templates.render("{{ '%d' | format(500000) }}", values) == "500000"


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_in_conditions(tmp_path: Path, template: str) -> None:
    condition = f'"{template}" = 1'.replace("'", "''")
    flows = FLOWS.replace("steps:", f"if: '{condition}'\n    steps:", 1)
    with pytest.raises(ProblemsError, match=r"flows\.yml:5: the condition") as found:
        load_assistant(project(tmp_path, flows=flows))
    assert TEMPLATES[template] in str(found.value) or len(template) > 10_000


def test_a_template_on_the_command_line(tmp_path: Path) -> None:
    text = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    domain = DOMAIN.replace("{text: Done.}", f"{{text: '{text}', metadata: {{template: jinja}}}}")
    refused(project(tmp_path, domain=domain), "domain.yml:6: the template", "it does too much")


def test_a_template_that_runs_away_only_with_some_values(tmp_path: Path) -> None:
    text = "{% for i in range(slots.code|length * 9000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"
    domain = DOMAIN.replace("{text: Done.}", f"{{text: '{text}', metadata: {{template: jinja}}}}")
    engine = Engine(load_assistant(project(tmp_path, domain=domain)))
    tracker = engine.new_tracker()
    engine.start(tracker)
    events = engine.handle(tracker, UserMessage("x"), (StartFlow("order"), SetSlot("code", "aaaa")))
    assert "response utter_done cannot be rendered: it does too much" in str(events)


# Names


@pytest.mark.parametrize("name", ["__class__", "__init__", "items", "self", "keys", "loop", "context", "slots", "None"])
def test_slots_named_like_parts_of_python(tmp_path: Path, name: str) -> None:
    flows, domain, tests = (text.replace("code", name) for text in (FLOWS, DOMAIN, TESTS))
    text = f"{{{{ slots.{name}|upper }}}}" if not name.startswith("_") else f"{{{name}}}"
    domain = domain.replace(
        "{text: Done.}", f"{{text: '{text}', metadata: {{template: {'jinja' if '|' in text else 'x'}}}}}"
    )
    tests = tests.replace("the " + name, "the code")
    flows = flows.replace(
        "- action",
        f"- noop: true\n        next: [{{if: slots.{name} is null, then: END}}, {{else: d}}]\n      - id: d\n        action",
    )
    engine = Engine(load_assistant(project(tmp_path, flows=flows, domain=domain, tests=tests)))
    tracker = engine.new_tracker()
    engine.start(tracker)
    events = engine.handle(tracker, UserMessage("x"), (StartFlow("order"), SetSlot(name, "abc")))
    said = [event.text for event in events if getattr(event, "utter", None) == "utter_done"]
    assert said == ["ABC" if "|" in text else "abc"]
