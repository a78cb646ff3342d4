"""Conditions against a table of what pypred makes of them."""

from __future__ import annotations

import pytest

from core.assistant.conditions import ConditionError, Predicate

SLOTS = {
    "yes": True, "no": False, "ten": 10.0, "five": 5.0, "word": "lost", "digits": "5", "blank": "", "none": None,
    "list": ["a", "b"], "empty": [], "dotted.name": "whole", "inner": {"deep": 3.0},
}  # fmt: skip
CONTEXT = {"reason": "because", "collect": "ten", "names": ["x"]}
TABLE = r"""
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
slots.yes = 1                                    | True
slots.no = 0                                     | True
slots.yes > slots.no                             | True
slots.yes = slots.no                             | False
slots.list = slots.list                          | True
slots.none = slots.none                          | True
slots.none = undefined                           | False
slots.none = empty                               | False
slots.none = false                               | False
slots.none != 'x'                                | True
slots.nowhere != 'x'                             | True
slots.nowhere != undefined                       | False
slots.nowhere is not null                        | True
slots.nowhere = slots.elsewhere                  | True
slots.nowhere > 1                                | False
slots.nowhere <= 1                               | False
slots.blank = undefined                          | False
slots.blank is not empty                         | False
slots.word is not empty                          | True
slots.list = empty                               | False
slots.ten = empty                                | False
undefined = undefined                            | True
undefined = empty                                | True
empty = empty                                    | True
empty                                            | False
undefined                                        | False
not empty                                        | True
not undefined                                    | True
not null                                         | True
null = null                                      | True
NULL is null                                     | True
null = false                                     | False
null > null                                      | False
null < 1                                         | False
0 = false                                        | True
1 = true                                         | True
2 = true                                         | False
true > false                                     | True
1 = 1.0                                          | True
-1 < 0                                           | True
-1.5 >= -1.5                                     | True
2 > 10                                           | False
'2' > '10'                                       | True
'2' = 2                                          | False
'abc' < 'abd'                                    | True
'Abc' = 'abc'                                    | False
'' = empty                                       | True
'a' = empty                                      | False
{} = empty                                       | True
{'a'} = empty                                    | False
{}                                               | False
{'a'}                                            | True
'false'                                          | True
'0'                                              | True
0.0                                              | False
-1                                               | True
'' = ''                                          | True
"it's" = "it's"                                  | True
'a # b' = 'a # b'                                | True
slots.word > 'abc'                               | True
slots.word < 'm'                                 | True
slots.digits > '3'                               | True
slots.ten > 'a'                                  | False
slots.list > 1                                   | False
slots.ten=10                                     | True
slots.ten>5                                      | True
slots.ten>=10.5                                  | False
slots.ten!=10                                    | False
slots.word IS 'lost'                             | True
slots.word Is Not 'lost'                         | False
slots.word CONTAINS 'os'                         | True
slots.word MATCHES 'os'                          | True
slots.word contains ''                           | True
slots.blank contains ''                          | True
slots.none contains 'a'                          | False
slots.nowhere contains 'a'                       | False
slots.list contains slots.word                   | False
'lost' contains 'lost'                           | True
{'a' 'b'} contains 'b'                           | True
{1 2.5 'x'} contains 2.5                         | True
{true null} contains null                        | True
context.reason contains 'cause'                  | True
context.collect = 'ten'                          | True
context.names = empty                            | False
slots.digits matches '^[0-9]+$'                  | True
slots.none matches 'a'                           | False
slots.nowhere matches ''                         | False
slots.list matches 'a'                           | False
slots.blank matches '^$'                         | True
'abc' matches 'B'                                | False
'abc' matches /B/i                               | True
'a/b' matches /a\/b/                             | True
'ab' matches /(a)b/                              | True
not slots.ten = 10                               | False
not slots.ten != 10                              | True
not not not slots.yes                            | False
NOT slots.yes OR slots.yes                       | True
not slots.no and not slots.no                    | True
not (slots.no or slots.none)                     | True
(slots.ten > 5) = true                           | True
(not slots.yes)                                  | False
(slots.yes and slots.yes) and slots.no           | False
slots.yes and slots.no or slots.no               | False
slots.no or slots.no and slots.yes               | False
slots.no and slots.yes or slots.yes and slots.yes | False
slots.yes or slots.no or slots.no                | True
slots.yes or slots.no and slots.yes and slots.no | True
(slots.no and slots.yes) or (slots.yes and slots.yes) | True
slots.ten > 5 and slots.ten < 20 or slots.no     | True
slots.no # and slots.yes                         | False
slots.inner.deep.deeper                          | False
slots.inner                                      | True
yes                                              | False
slots                                            | True
{{ slots.ten }} > 9                              | True
'{{ slots.word }}' = 'lost'                      | True
{% if slots.no %}true{% else %}false{% endif %}  | False
slots.{{context.nothing}} = 10                   | False
"""


@pytest.mark.parametrize(
    ("source", "truth"), [tuple(part.strip() for part in line.rsplit("|", 1)) for line in TABLE.strip().splitlines()]
)
def test_truth(source, truth):
    assert Predicate(source).evaluate(SLOTS, CONTEXT) is (truth == "True")


def test_the_table_is_long_and_says_nothing_twice():
    sources = [line.rsplit("|", 1)[0].strip() for line in TABLE.strip().splitlines()]
    assert len(set(sources)) == len(sources) >= 200


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
