"""The prompt of training as a template for the place where the assistant runs: documented variables in, the same prompt out.

The texts of flows and commands stand in it as they were in training, so that nothing depends on how they are described elsewhere; the
state and the conversation come from the variables (own_template.py names them) and pass through the very template that training uses.
"""

from __future__ import annotations

import json
from pathlib import Path

from core.dialogue.prompt import TURN, PromptRenderer

FILE = "prompts/calmtune.jinja2"
"""Where it lies in an assistant's folder."""
_MARK = "{#- Written by calmtune"
_NOTE = f"""{_MARK}: the prompt that the model was trained with. It belongs to that model; after a change of flows or slots, train again
and connect again, which writes it anew. -#}}
"""
_STATE = """\
{%- set today = current_datetime.strftime("%A, %Y-%m-%d") if current_datetime else "" -%}
{%- set active_flow = current_flow -%}
{%- set asked = current_slot -%}
{%- set filled = flow_slots | rejectattr("value", "none") | rejectattr("value", "equalto", "undefined") | list -%}
{%- set message = user_message -%}
{#- The conversation is one text, the message its last line. -#}
{%- set before = current_conversation.rsplit("USER: ", 1)[0][:-1] -%}
"""
_ALL = """{%- set history = [before.split(": ", 1)] if before else [] -%}
"""
_LAST_ANSWER = """\
{%- set said = ("\\n" ~ before).rsplit("\\nAI: ", 1) -%}
{%- set history = [["AI", said[1]]] if said | length == 2 and "\\nUSER: " not in said[1] else [] -%}
"""
_LAST_TURNS = """\
{{%- set turns = ("\\n" ~ before).split("\\nUSER: ") -%}}
{{%- set all = [before.split(": ", 1)] if before else [] -%}}
{{%- set history = [["USER", turns[-{count}:] | join("\\nUSER: ")]] if turns | length > {count} else all -%}}
"""


def production_template(renderer: PromptRenderer) -> str:
    """The template that renders what `renderer` does. `renderer` must not have a template of the owner's itself."""
    head, flows, tail = renderer.shared_parts()
    lines = ",\n".join(f"  {_quoted(flow)}: {_quoted(text)}" for flow, text in flows.items())
    turns = renderer.history_turns
    history = _ALL if turns is None else _LAST_TURNS.format(count=turns) if turns else _LAST_ANSWER
    return (
        f"{_NOTE}{{%- set flow_texts = {{\n{lines}\n}} -%}}\n{_STATE}{history}{{{{ {_quoted(head)} }}}}\n"
        "{%- for flow in available_flows -%}\n"
        '{{ flow_texts.get(flow.name, "- " ~ flow.name ~ ": " ~ flow.description ~ "\\n") }}\n'
        f"{{%- endfor -%}}\n{{{{ {_quoted(tail)} }}}}\n{{#- The state. -#}}\n{TURN.read_text(encoding='utf-8')}"
    )


def is_ours(template: Path | None) -> bool:
    """True for a template that was written here, which is made anew rather than taken as the owner's."""
    if template is None or not template.is_file():
        return False
    with template.open(encoding="utf-8", errors="replace") as file:
        return file.read(len(_MARK)) == _MARK


def _quoted(text: str) -> str:
    """A text as Jinja reads it back."""
    return json.dumps(text, ensure_ascii=False)
