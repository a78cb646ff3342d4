"""Wordings from a file."""

from __future__ import annotations

import textwrap

import pytest
from rigs.parcels import DOMAIN, FLOWS
from rigs.played import play

from core.dataset.annotate import annotate
from core.dataset.paraphrases import read_paraphrases
from core.dialogue.commands import SetSlot, StartFlow
from core.dialogue.engine import Engine
from core.dialogue.prompt import PromptRenderer
from core.errors import ProblemsError


@pytest.fixture
def read(tmp_path):
    def read(text):
        (tmp_path / "paraphrases.yml").write_text(textwrap.dedent(text))
        return read_paraphrases(tmp_path / "paraphrases.yml", "paraphrases.yml")

    return read


@pytest.fixture
def conversation(make_assistant):
    engine = Engine(make_assistant(FLOWS, DOMAIN))
    script = [
        ("Send a parcel!", (StartFlow("send_parcel"),)),
        ("3", (SetSlot("weight", "3"),)),
        ("/SetSlots(sure=true)", ()),
    ]
    renderer = PromptRenderer(engine.assistant, "v2", index=engine.index)
    return lambda **kwargs: annotate(play(engine, script, **kwargs), engine, renderer, "v2")


TEXT = """
    paraphrases:
    - user: send a parcel
      variants: [post it, ship something, parcel]
    - user: send a parcel
      test: e2e_tests/all.yml::special
      variants: [a special one]
    - user: 3
      variants: [make it 3, 3 please]
    - user: /SetSlots(sure=true)
      variants: [go on]
"""


async def test_messages_find_their_wordings(read, conversation):
    paraphrases = read(TEXT)
    assert await paraphrases.candidates(conversation(), 2) == {
        0: ("post it", "ship something"),
        1: ("make it 3", "3 please"),
    }
    assert (await paraphrases.candidates(conversation(name="special"), 2))[0] == ("a special one",)


async def test_a_test_may_decline(read, conversation):
    assert await read(TEXT).candidates(conversation(metadata={"rephrase": False}), 2) == {}


def test_every_problem_is_named_with_its_line(read):
    with pytest.raises(ProblemsError) as caught:
        read("""
            paraphrases:
            - user: hello
              variant: [hi]
            - user: bye
              variants: [ciao, true, 1.50]
            - just text
            - user: Bye!
              variants: [so long]
            - variants: [x]
        """)
    assert str(caught.value).splitlines() == [
        "paraphrases.yml:3: `variants` must list at least one other wording",
        "paraphrases.yml:4: variant is not a key of a paraphrase; did you mean variants?",
        "paraphrases.yml:6: a variant must be text; put 1.5 in quotes",
        "paraphrases.yml:6: a variant must be text; put True in quotes",
        "paraphrases.yml:7: each item must be a mapping with `user` and `variants`",
        "paraphrases.yml:8: 'Bye!' is given twice (first in line 5); put all variants in one place",
        "paraphrases.yml:10: user must be text",
    ]


@pytest.mark.parametrize("text", ["", "[]", "phrases: []", "paraphrases: {}"])
def test_a_file_of_something_else_is_refused(read, text):
    with pytest.raises(ProblemsError, match="no list `paraphrases:` was found"):
        read(text)


def test_entries_that_concern_no_test_are_named_with_the_nearest(read, conversation):
    paraphrases = read("""
        paraphrases:
        - user: send a parsel
          variants: [a]
        - user: something else entirely
          variants: [b]
        - user: 3
          test: e2e_tests/all.yml::a tst
          variants: [c]
        - user: SEND a parcel
          variants: [d]
    """)
    problems = paraphrases.strays([conversation().case])
    assert [(problem.line, problem.severity) for problem in problems] == [
        (3, "warning"),
        (5, "warning"),
        (7, "warning"),
    ]
    assert problems[0].message == (
        "no test has the message 'send a parsel'; the nearest is 'Send a parcel!'; its wordings are not used"
    )
    assert problems[1].message == "no test has the message 'something else entirely'; its wordings are not used"
    assert problems[2].message.startswith(
        "there is no test e2e_tests/all.yml::a tst; the nearest is 'e2e_tests/all.yml::a test'"
    )
