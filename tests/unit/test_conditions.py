"""Conditions against a table of what pypred makes of them."""

from __future__ import annotations

import pytest

from core.assistant.conditions import ConditionError, Predicate

SLOTS = {
    "yes": True, "no": False, "ten": 10.0, "five": 5.0, "word": "lost", "digits": "5", "blank": "", "none": None,
    "list": ["a", "b"], "empty": [], "dotted.name": "whole", "inner": {"deep": 3.0},
}  # fmt: skip
CONTEXT = {"reason": "because", "collect": "ten", "names": ["x"]}
TABLE = """
slots.yes                                        | True
slots.no                                         | False
slots.none                                       | False
slots.nowhere                                    | False
slots.blank                                      | False
slots.list                                       | True
slots.empty                                      | False
not slots.no                                     | True
not slots.yes                                    | False
not not slots.yes                                | True
NOT slots.no                                     | True
slots.ten > 5                                    | True
slots.ten > 10                                   | False
slots.ten >= 10                                  | True
slots.ten < 10.5                                 | True
slots.ten <= 9.99                                | False
slots.ten = 10                                   | True
slots.ten == 10.0                                | True
slots.ten != 10                                  | False
slots.ten is 10                                  | True
slots.ten is not 10                              | False
slots.ten > slots.five                           | True
-3 < slots.five                                  | True
slots.word = 'lost'                              | True
slots.word = "lost"                              | True
slots.word = lost                                | False
slots.word != 'found'                            | True
slots.word is not 'found'                        | True
slots.digits = '5'                               | True
slots.digits = 5                                 | False
slots.digits > 3                                 | False
slots.none > 3                                   | False
slots.none < 3                                   | False
slots.none is null                               | True
slots.none = null                                | True
slots.none is not null                           | False
slots.ten is not null                            | True
slots.nowhere is null                            | False
slots.nowhere = undefined                        | True
slots.ten = undefined                            | False
slots.blank = empty                              | True
slots.empty is empty                             | True
slots.word = empty                               | False
slots.nowhere = empty                            | True
slots.yes = true                                 | True
slots.yes is True                                | True
slots.no = false                                 | True
slots.no is TRUE                                 | False
slots.yes and slots.ten                          | True
slots.yes and slots.no                           | False
slots.no or slots.yes                            | True
slots.no or slots.no                             | False
slots.yes AND slots.yes                          | True
slots.yes and slots.no or slots.yes              | True
slots.no and slots.no or slots.yes               | False
slots.no and slots.yes or slots.yes              | False
(slots.no and slots.no) or slots.yes             | True
slots.yes or slots.no and slots.no               | True
slots.no or slots.yes and slots.no               | False
not slots.no and slots.yes                       | True
not slots.yes or slots.yes                       | True
not (slots.yes and slots.no)                     | True
not slots.ten > 20                               | True
not slots.word = 'found'                         | True
slots.ten > 5 and slots.word = 'lost'            | True
slots.ten > 5 and slots.word = 'found'           | False
slots.list contains 'a'                          | True
slots.list contains 'c'                          | False
slots.word contains 'os'                         | True
slots.word contains 'xy'                         | False
slots.ten contains 'a'                           | False
{'lost' 'found'} contains slots.word             | True
{'lost' 'found'} contains 'gone'                 | False
{1 2 10} contains slots.ten                      | True
slots.word matches '^l'                          | True
slots.word matches 'st$'                         | True
slots.word matches 'ost'                         | True
slots.word matches '^os'                         | False
slots.word matches /LOST/i                       | True
slots.word matches /LOST/                        | False
slots.ten matches '10'                           | False
context.reason = 'because'                       | True
context.names contains 'x'                       | True
context.nothing                                  | False
slots.dotted.name = 'whole'                      | False
slots.inner.deep = 3                             | True
slots.inner.deep > 2 and slots.inner.none        | False
true                                             | True
False                                            | False
null                                             | False
1                                                | True
0                                                | False
'text'                                           | True
''                                               | False
slots.yes # a remark                             | True
((slots.yes))                                    | True
slots.{{context.collect}} = 10                   | True
'{{context.reason}}' = 'because'                 | True
"{{context.nothing}}" = ''                       | True
{% if slots.yes %}slots.ten > 5{% endif %}       | True
"""


@pytest.mark.parametrize(
    ("source", "truth"), [tuple(part.strip() for part in line.rsplit("|", 1)) for line in TABLE.strip().splitlines()]
)
def test_truth(source, truth):
    assert Predicate(source).evaluate(SLOTS, CONTEXT) is (truth == "True")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("slots.ten >", "ends where a value was expected"),
        ("slots.ten > > 3", "unexpected '>' at character 13"),
        ("(slots.yes", "opened at character 1 is not closed"),
        ("slots.yes slots.no", "unexpected 'slots.no' at character 11"),
        ("and slots.yes", "missing before 'and'"),
        ("slots.word matches slots.yes", "needs a pattern"),
        ("slots.word matches '('", "cannot be read"),
        ("slots.yes & slots.no", "unexpected '&' at character 11"),
        ("(" * 5000, "nested too deeply"),
        ("slots.yes and " * 5000, "longer than"),
    ],
)
def test_complaints_say_where(source, complaint):
    with pytest.raises(ConditionError, match=complaint.replace("(", r"\(").replace("&", "&")):
        Predicate(source).check()
    assert Predicate(source).evaluate(SLOTS, CONTEXT) is False


def test_oddities_are_heard():
    heard: list[str] = []
    Predicate("slots.none > 3").evaluate(SLOTS, CONTEXT, heard.append)
    assert heard == ["None > 3.0 cannot be compared and counts as false"]


def test_mixed_and_or_is_noticed():
    assert Predicate("slots.a and slots.b or slots.c").mixes_and_or
    assert not Predicate("slots.a and (slots.b or slots.c)").mixes_and_or
    assert not Predicate("slots.a and slots.b and slots.c").mixes_and_or


def test_jinja_cannot_reach_python():
    heard: list[str] = []
    source = "'{{ context.__class__.__mro__[1].__subclasses__() }}' = ''"
    assert Predicate(source).evaluate(SLOTS, CONTEXT, heard.append) is False
    assert heard


def test_names_are_listed():
    assert Predicate("slots.a > 1 and not context.b or slots.a").names == ("slots.a", "context.b")
