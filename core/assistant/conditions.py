"""Conditions: `slots.amount > 50 and not slots.member`, with the semantics of pypred (BSD-3), parsed by hand and never eval'ed.

Grammar, loosest first:

    condition  := negation [("and" | "or") condition]        # one level, right-associative: a and b or c = a and (b or c)
    negation   := "not" negation | comparison
    comparison := operand [operator operand] | operand "contains" operand | operand "matches" (string | /regex/flags)
    operator   := > >= < <= = == != is "is not"
    operand    := "(" condition ")" | {set} | "string" | number | true | false | null | undefined | empty | identifier

Unknown identifiers are *undefined*: falsy, equal only to undefined and empty. `null` is None. Ordering anything but two numbers or two
strings is false. A source holding `{{` is rendered with Jinja over slots and context first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any, Final

from core.assistant import templates
from core.assistant.matching import BadPattern, Pattern, SlowPattern, pattern
from core.assistant.templates import TemplateProblem
from core.errors import Problem, ProblemsError

Names = Mapping[str, Any]
Evaluate = Callable[["Scope"], Any]

_SIMPLE = re.compile(r"\{\{\s*(context|slots)\.(\w+)\s*\}\}")
_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<number>-?\d+(?:\.\d+)?(?![\w\-.:;]))
      | (?P<string>"[^"]*"|'[^']*')
      | (?P<regex>/(?:[^/\\\n]|\\.)+/[imsulx]*)
      | (?P<operator>>=|<=|==|!=|[><=])
      | (?P<bracket>[(){}])
      | (?P<word>[\w\-.:;]+)
    """,
    re.VERBOSE,
)
_ORDERINGS: dict[str, Callable[[Any, Any], Any]] = {">": gt, ">=": ge, "<": lt, "<=": le}
_EQUALITIES = ("=", "==", "!=")
_FLAGS = {"i": re.I, "m": re.M, "s": re.S, "u": re.U, "x": re.X}
LONGEST_CONDITION = 10_000
"""Characters; longer ones are refused rather than parsed for minutes."""


class ConditionError(Exception):
    """A condition that cannot be read; the message says what is wrong and at which character."""


class _Sentinel:
    def __init__(self, name: str) -> None:
        self.name = name

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return self.name


UNDEFINED: Final = _Sentinel("undefined")
EMPTY: Final = _Sentinel("empty")
_CONSTANTS = {"true": True, "false": False, "null": None, "undefined": UNDEFINED, "empty": EMPTY}


@dataclass(frozen=True)
class Scope:
    """What identifiers are looked up in."""

    names: Names
    warn: Callable[[str], None] | None = None

    def find(self, name: str) -> Any:
        """The whole dotted name as a key first, then a walk along the dots."""
        if name in self.names:
            return self.names[name]
        found: Any = self.names
        for part in name.split("."):
            if not isinstance(found, Mapping) or part not in found:
                return UNDEFINED
            found = found[part]
        return found


@dataclass(frozen=True)
class Predicate:
    """A condition as the owner wrote it."""

    source: str
    place: tuple[str, int] = field(default=("a condition", 0), compare=False)
    """File and line."""

    @property
    def is_template(self) -> bool:
        return "{{" in self.source or "{%" in self.source

    @property
    def is_never(self) -> bool:
        """True for a literal `false`."""
        return self.source.strip().casefold() == "false"

    @property
    def names(self) -> tuple[str, ...]:
        """Identifiers used, in order; () for a template. Raises ConditionError."""
        return () if self.is_template else parse(self.source).names

    @property
    def comparisons(self) -> tuple[tuple[str, Any], ...]:
        """(identifier, constant) of each = and != between such two; () for a template. Raises ConditionError."""
        return () if self.is_template else parse(self.source).comparisons

    @property
    def mixes_and_or(self) -> bool:
        """True when `and` and `or` stand side by side without brackets, which reads otherwise than most expect."""
        return not self.is_template and parse(self.source).mixed

    def check(self) -> None:
        """Raise ConditionError when the condition cannot be read."""
        if self.is_template:
            try:
                templates.check(self.source)
            except TemplateProblem as error:
                raise ConditionError(str(error)) from error
        else:
            parse(self.source)

    def evaluate(self, slots: Names, context: Names, warn: Callable[[str], None] | None = None) -> bool:
        """Truth under the slots and the context of the top frame. A condition that cannot be read is false; `warn` hears why.

        Raises ProblemsError when a pattern of the condition takes too long.
        """
        try:
            text = _rendered(self.source, slots, context) if self.is_template else self.source
            return bool(parse(text).evaluate(Scope({"slots": slots, "context": context}, warn)))
        except SlowPattern as error:
            raise ProblemsError([Problem(*self.place, f"in the condition {self.source!r} {error}")]) from error
        except (ConditionError, TemplateProblem, ArithmeticError, LookupError, RecursionError, TypeError) as error:
            if warn is not None:
                warn(f"condition {self.source!r} counts as false: {error}")
            return False


def _rendered(source: str, slots: Names, context: Names) -> str:
    scopes = {"context": context, "slots": slots}
    text = _SIMPLE.sub(lambda match: str(scopes[match[1]].get(match[2], "")), source)
    if "{{" not in text and "{%" not in text:
        return text  # the common `{{context.x}}` needs no template engine
    return templates.render(source, scopes)


@dataclass(frozen=True)
class Parsed:
    """A condition ready to be evaluated."""

    evaluate: Evaluate
    names: tuple[str, ...]
    comparisons: tuple[tuple[str, Any], ...]
    mixed: bool


@dataclass(frozen=True, slots=True)
class _Identifier:
    name: str

    def __call__(self, scope: Scope) -> Any:
        return scope.find(self.name)


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Any

    def __call__(self, scope: Scope) -> Any:
        return self.value


@lru_cache(maxsize=8192)
def parse(source: str) -> Parsed:
    """Read a condition without Jinja. Raises ConditionError."""
    if len(source) > LONGEST_CONDITION:
        raise ConditionError(f"it is longer than {LONGEST_CONDITION} characters")
    parser = _Parser(source)
    try:
        evaluate = parser.condition()
    except RecursionError as error:
        raise ConditionError("it is nested too deeply") from error
    parser.expect_end()
    return Parsed(evaluate, tuple(dict.fromkeys(parser.names)), tuple(parser.comparisons), parser.mixed)


class _Parser:
    """Recursive descent; each method returns a function from scope to value."""

    def __init__(self, source: str) -> None:
        self.tokens = list(tokens(source))
        self.at = 0
        self.end = len(source)
        self.names: list[str] = []
        self.comparisons: list[tuple[str, Any]] = []
        self.mixed = False

    def peek(self) -> tuple[str, str, int]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", self.end)

    def take(self) -> tuple[str, str, int]:
        token = self.peek()
        self.at += 1
        return token

    def word(self) -> str:
        """The next token as a keyword in lower case, "" when it is no word."""
        kind, text, _ = self.peek()
        return text.casefold() if kind == "word" else ""

    def expect_end(self) -> None:
        kind, text, position = self.peek()
        if kind != "end":
            raise ConditionError(f"unexpected {text!r} at character {position + 1}")

    def condition(self, outer: str = "") -> Evaluate:
        left = self.negation()
        keyword = self.word()
        if keyword not in ("and", "or"):
            return left
        if outer and keyword != outer:
            self.mixed = True
        self.take()
        right = self.condition(keyword)
        if keyword == "and":
            return lambda scope: bool(left(scope)) and bool(right(scope))
        return lambda scope: bool(left(scope)) or bool(right(scope))

    def negation(self) -> Evaluate:
        if self.word() == "not":
            self.take()
            inner = self.negation()
            return lambda scope: not inner(scope)
        return self.comparison()

    def comparison(self) -> Evaluate:
        left = self.operand()
        kind, text, _ = self.peek()
        keyword = self.word()
        if kind == "operator" or keyword == "is":
            self.take()
            operator = text if kind == "operator" else "="
            if keyword == "is" and self.word() == "not":
                self.take()
                operator = "!="
            right = self.operand()
            for one, other in ((left, right), (right, left)):
                if operator in _EQUALITIES and isinstance(one, _Identifier) and isinstance(other, _Constant):
                    self.comparisons.append((one.name, other.value))
            return _compare(operator, left, right)
        if keyword == "contains":
            self.take()
            return _contains(left, self.operand())
        if keyword == "matches":
            self.take()
            return _matches(left, self.regex())
        return left

    def operand(self) -> Evaluate:
        kind, text, position = self.take()
        if text == "(":
            inner = self.condition()
            self.close(")", position)
            return inner
        if text == "{":
            return self.members(position)
        if kind == "string":
            return _Constant(text[1:-1])
        if kind == "number":
            return _Constant(float(text))
        if kind == "word":
            if text.casefold() in _CONSTANTS:
                return _Constant(_CONSTANTS[text.casefold()])
            if text.casefold() in ("and", "or", "not", "is", "contains", "matches"):
                raise ConditionError(f"a value is missing before {text!r} at character {position + 1}")
            self.names.append(text)
            return _Identifier(text)
        if kind == "end":
            raise ConditionError("it ends where a value was expected")
        raise ConditionError(f"unexpected {text!r} at character {position + 1}")

    def members(self, opened: int) -> Evaluate:
        """A set `{'a' 'b' 3}`: constants side by side."""
        found: list[Any] = []
        while self.peek()[0] in ("string", "number", "word"):
            kind, text, _ = self.take()
            found.append(
                float(text)
                if kind == "number"
                else text[1:-1]
                if kind == "string"
                else _CONSTANTS.get(text.casefold(), text)
            )
        self.close("}", opened)
        return _Constant(tuple(found))

    def regex(self) -> Pattern:
        kind, text, position = self.take()
        flags = 0
        if kind == "regex":
            text, _, letters = text[1:].rpartition("/")
            for letter in letters:
                flags |= _FLAGS.get(letter, 0)
        elif kind == "string":
            text = text[1:-1]
        else:
            raise ConditionError(f"matches needs a pattern in quotes or slashes at character {position + 1}")
        try:
            return pattern(text, flags)
        except BadPattern as error:
            raise ConditionError(str(error)) from error

    def close(self, bracket: str, opened: int) -> None:
        kind, text, position = self.take()
        if text != bracket or kind != "bracket":
            raise ConditionError(
                f"the bracket opened at character {opened + 1} is not closed (character {position + 1})"
            )


def tokens(source: str) -> Iterator[tuple[str, str, int]]:
    """(kind, text, position) of each token of a condition without Jinja. Raises ConditionError."""
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise ConditionError(f"unexpected {source[position]!r} at character {position + 1}")
        if match.lastgroup != "space":
            yield str(match.lastgroup), match[0], position
        position = match.end()


def _compare(operator: str, left: Evaluate, right: Evaluate) -> Evaluate:
    if operator in ("=", "=="):
        return lambda scope: _equal(left(scope), right(scope))
    if operator == "!=":
        return lambda scope: not _equal(left(scope), right(scope))
    ordered = _ORDERINGS[operator]

    def evaluate(scope: Scope) -> bool:
        one, other = left(scope), right(scope)
        if one in (UNDEFINED, EMPTY) or other in (UNDEFINED, EMPTY):
            return False
        try:
            return bool(ordered(one, other))
        except TypeError:
            if scope.warn is not None:
                scope.warn(f"{one!r} {operator} {other!r} cannot be compared and counts as false")
            return False

    return evaluate


def _equal(one: Any, other: Any) -> bool:
    if one is EMPTY or other is EMPTY:
        value = other if one is EMPTY else one
        return value in (EMPTY, UNDEFINED) or (hasattr(value, "__len__") and len(value) == 0)
    if one is UNDEFINED or other is UNDEFINED:
        return one is other
    return bool(one == other)


def _contains(left: Evaluate, right: Evaluate) -> Evaluate:
    def evaluate(scope: Scope) -> bool:
        one, other = left(scope), right(scope)
        if isinstance(one, str):
            return isinstance(other, str) and other in one
        return isinstance(one, (list, tuple, set, frozenset, dict)) and other in one

    return evaluate


def _matches(left: Evaluate, searched: Pattern) -> Evaluate:
    def evaluate(scope: Scope) -> bool:
        value = left(scope)
        return isinstance(value, str) and searched.is_in(value)

    return evaluate
