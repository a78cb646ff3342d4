"""Jinja that owners write (responses, conditions, prompts): it can neither reach Python nor run away.

Jinja's sandbox keeps templates from attributes with underscores and from changing values; it does not keep them from endless loops or from
filling the memory. Here a template is a part of Jinja whose work can be counted, and every rendering has a budget: a round of a loop and
each character or item that a value is made of cost something, and what would grow is paid for before it is made. No clock is involved, so
the outcome is always the same.
"""

from __future__ import annotations

import contextvars
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, time
from functools import lru_cache, wraps
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment, safe_range
from jinja2.utils import Namespace

MOST_WORK = 10_000_000
"""What one rendering may spend, a second or two at most; the prompt of an assistant with fifty flows spends a hundredth."""
A_ROUND, A_PART = 100, 10
"""Cost of a round of a loop, and of each part of a template that it repeats."""
LARGEST_VALUE = 2_000_000
"""Characters and items of one value."""
LONGEST_TEMPLATE = 100_000
"""Characters of a template."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_REFUSED: tuple[type[nodes.Node], ...] = (
    nodes.CallBlock,
    nodes.FilterBlock,
    nodes.Block,
    nodes.Extends,
    nodes.Include,
    nodes.Import,
    nodes.FromImport,
)
_FILTERS = _words(
    """abs batch capitalize count d default dictsort e escape first float forceescape groupby int items join last length list lower map
    max min reject rejectattr replace reverse round safe select selectattr slice sort string striptags sum title tojson trim truncate
    unique upper urlencode wordcount"""
)
_TESTS = _words(
    """boolean defined divisibleby even false float integer iterable lower mapping none number odd sequence string true undefined
    upper"""
)
_COMPARISONS = _words("in eq equalto == ne != gt greaterthan > ge >= lt lessthan < le <=")
"""Tests that look at all of a value."""
_METHODS = _words(
    """capitalize casefold count cycle endswith find get index isalpha isdigit isnumeric isoformat items join keys lower lstrip
    partition removeprefix removesuffix replace rfind rpartition rsplit rstrip split splitlines
    startswith strftime strip swapcase title upper values weekday"""
)
_WIDE = re.compile(r"%(?:\(|[-+ #0.\d]*(?:\*|\d{3}))")
"""In a text for `format`: widths that are not written out or have three digits, and names, after which they are hard to find."""
_OWNERS = (str, list, tuple, dict, date, time, LoopContext)
"""Types whose harmless methods may be called; a datetime is a date."""

_left: contextvars.ContextVar[int] = contextvars.ContextVar("left", default=0)


class TemplateProblem(Exception):
    """A template that cannot be read or rendered; the message is the reason."""

    line = 0
    """Where in the template, from 1; 0 when that is not known."""


class Refused(SecurityError):
    """Something that no template of an assistant may hold."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.lineno = line


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with fewer doors and a budget."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, undefined: type[Undefined]) -> None:
        # Constants that are made when a template is compiled would not be paid for.
        super().__init__(undefined=undefined, finalize=_said, optimized=False)
        self.globals = {"range": safe_range, "namespace": Namespace}
        self.filters = {name: _paying(self.filters[name]) for name in _FILTERS}
        self.filters["to_json_escaped_string"] = _paying(_json_string)  # prompt templates use it
        self.filters["format"] = _formatted  # how a template writes an amount of money: '%.2f' | format(slots.price)
        self.tests = {name: self.tests[name] for name in _TESTS | _COMPARISONS}
        self.paid, self.joined, self.begin_loop, self.spend_round = _paid, _joined, _begin_loop, _spend_round

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """The syntax tree, with payments where a template would grow or repeat something."""
        tree = super()._parse(source, name, filename)
        for node in [*tree.find_all(nodes.Node)]:
            _refuse(node)
            if isinstance(node, nodes.For):
                node.iter = _call("begin_loop", (node.iter,))
                node.body.insert(0, nodes.ExprStmt(_call("spend_round", (nodes.Const(_weight(node)),))))
            elif isinstance(node, nodes.Macro):
                node.body.insert(0, nodes.ExprStmt(_call("spend_round", (nodes.Const(_weight(node)),))))
            elif isinstance(node, nodes.Assign):
                node.node = _call("paid", (node.node,))
            elif isinstance(node, nodes.Compare):
                node.expr = _call("paid", (node.expr,))
            elif (isinstance(node, nodes.Test) and node.name in _COMPARISONS) or (
                isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
            ):
                node.node = _call("paid", (node.node,))
            elif isinstance(node, nodes.Concat):
                node.nodes = [_call("joined", tuple(node.nodes))]
        return tree

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`slots.items` is the slot of that name before it is a method of mappings."""
        return obj[attribute] if isinstance(obj, Mapping) and attribute in obj else super().getattr(obj, attribute)

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call what a template may call: harmless methods of plain values, `range`, its own macros, and our own payments."""
        known = obj in (_paid, _joined, _begin_loop, _spend_round, safe_range, Namespace)
        if not known and not isinstance(obj, Macro):
            owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", type(obj).__name__)
            if isinstance(obj, Undefined):
                raise UndefinedError("a name that is not known is called")
            if not isinstance(owner, _OWNERS) or name not in _METHODS:
                raise SecurityError(f"{name} may not be called in a template")
            given = (value for key, value in kwargs.items() if not key.startswith("_"))  # Jinja adds names of its own
            _pay_ahead((*args, *given) if isinstance(owner, LoopContext) else (owner, *args, *given))
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        if not numbers:
            if operator not in ("+", "*"):
                raise SecurityError(f"{operator} takes numbers")
            _pay_ahead((left, right)) if operator == "*" else _spend(_size(left) + _size(right))
        elif isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * (abs(right) if operator == "**" else 1) + right.bit_length()
            if bits > LARGEST_VALUE // 100:
                raise SecurityError("a number grows too large")
        return super().call_binop(context, operator, left, right)


def _refuse(node: nodes.Node) -> None:
    """Raise Refused for what templates of owners may not hold, however it would turn out."""
    if isinstance(node, _REFUSED) or (isinstance(node, nodes.For) and node.recursive):
        kind = "a recursive loop" if isinstance(node, nodes.For) else type(node).__name__.lower()
        raise Refused(f"{kind} is not for templates of assistants", node.lineno)
    if isinstance(node, nodes.Getattr) and node.attr.startswith("__"):
        raise Refused(f"{node.attr} may not be reached from a template", node.lineno)


def _weight(repeated: nodes.For | nodes.Macro) -> int:
    """Cost of one round of a loop or one call of a macro; loops inside pay for themselves."""
    parts = repeated.find_all(nodes.Node)
    return A_ROUND + sum(len(part.data) if isinstance(part, nodes.TemplateData) else A_PART for part in parts)


def _call(name: str, arguments: Iterable[Any]) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(name), [*arguments], [], None, None)


# The budget


def _spend(amount: int) -> None:
    if amount > LARGEST_VALUE:
        raise SecurityError(f"a value grows beyond {LARGEST_VALUE:,} characters or items")
    _left.set(_left.get() - amount)
    if _left.get() < 0:
        raise SecurityError("it does too much: shorten its loops and values")


def _begin_loop(items: Any) -> Any:
    _spend(len(items) if hasattr(items, "__len__") else 1)
    return items


def _spend_round(weight: int) -> str:
    _spend(weight)
    return ""


@pass_context
def _said(context: Any, value: Any) -> Any:
    """What a template prints; asking for the context keeps Jinja from printing constants when it compiles."""
    return _paid(value)


def _paid(value: Any) -> Any:
    _spend(_size(value))
    return value


def _joined(*values: Any) -> str:
    _spend(sum(map(_size, values)))
    return "".join(map(str, values))


def _pay_ahead(values: Iterable[Any]) -> None:
    """Pay for the most that a filter or method can make of values: the product of their sizes."""
    product = 1
    for value in values:
        product *= max(1, value if type(value) is int else _size(value))
        if product > LARGEST_VALUE:
            break
    _spend(product)


def _paying(filter: Callable[..., Any]) -> Callable[..., Any]:
    takes_context = hasattr(filter, "jinja_pass_arg")

    @wraps(filter)
    def pays(*args: Any, **kwargs: Any) -> Any:
        _pay_ahead((*args[takes_context:], *kwargs.values()))
        return filter(*args, **kwargs)

    return pays


def _size(value: Any) -> int:
    """Characters and items of a value with all it holds, as often as it holds them; counting stops beyond the largest."""
    total, queue = 0, [value]
    while queue and total <= LARGEST_VALUE:
        part = queue.pop()
        if isinstance(part, str):
            total += len(part)
        elif isinstance(part, Mapping):
            total += 1
            queue += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple, set, frozenset)):
            total += 1
            queue += part
        else:
            total += len(part) if isinstance(part, range) else 1
    return total


def _json_string(value: Any) -> str:
    return json.dumps("" if value is None else str(value), ensure_ascii=False)


def _formatted(text: Any, *values: Any, **named: Any) -> str:
    if named or _WIDE.search(str(text).replace("%%", "")):
        raise SecurityError("format takes values without names, and widths of two digits at most")
    _spend(_size(text) + 100 * str(text).count("%") + _size(values))
    return str(text) % values


# What is offered


STRICT = _Environment(StrictUndefined)
"""Where an unknown name is a mistake. What is compiled here is rendered within `budget`."""
_LENIENT = _Environment(Undefined)
_FAILURES = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError)


@contextmanager
def budget() -> Iterator[None]:
    """What one rendering may spend."""
    before = _left.set(MOST_WORK)
    try:
        yield
    finally:
        _left.reset(before)


def render(text: str, values: Mapping[str, Any], strict: bool = False) -> str:
    """A template with its names filled in; unknown ones are empty, or with `strict` a mistake. Raises TemplateProblem."""
    template = compiled(text, strict)
    try:
        with budget():
            return template.render(values)
    except _FAILURES as error:
        raise TemplateProblem(str(error)) from error


@lru_cache(maxsize=4096)
def compiled(text: str, strict: bool = False) -> Template:
    """A template ready to be rendered. Raises TemplateProblem."""
    if len(text) > LONGEST_TEMPLATE:
        raise TemplateProblem(f"it is longer than {LONGEST_TEMPLATE:,} characters")
    try:
        return (STRICT if strict else _LENIENT).from_string(text)
    except (*_FAILURES, SyntaxError, MemoryError) as error:  # the last two: nested beyond what Python compiles
        problem = TemplateProblem(str(error) or type(error).__name__)
        problem.line = getattr(error, "lineno", None) or 0
        raise problem from error


def check(text: str) -> None:
    """Read a template and try it once with nothing known, so that one that always runs away is met early. Raises TemplateProblem."""
    template = compiled(text)
    try:
        with budget():
            template.render({"slots": {}, "context": {}})
    except RecursionError as error:
        raise TemplateProblem("a macro calls itself without end") from error
    except (SecurityError, OverflowError) as error:
        raise TemplateProblem(str(error)) from error
    except _FAILURES:
        return  # it may need what is not known yet
