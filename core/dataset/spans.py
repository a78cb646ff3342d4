"""Parts of a message that may be values: dates, codes, names, addresses, what follows a preposition."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

from core.dataset.language import ORDINALS, STOP_WORDS, WORD, word_set

Kind = Literal["quoted", "email", "date", "address", "code", "name", "phrase", "clause", "whole", "word"]

_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
_MONTH = (
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_TIME = (
    r"(?:\d{1,2}:\d{2}(?:\s?(?:[ap]\.?m\.?|uhr\b|h\b))?|\d{1,2}(?:\.\d{2})?\s?(?:[ap]\.?m\b\.?|uhr\b)|noon|midnight"
    r"|(?:half|quarter)\s(?:past|to)\s\w+|\d{1,2}\so['’]clock)"
)
_BARE_HOUR = r"(?<=\sat\s)\d{1,2}(?=[,.;!?]|$|\s(?:and|but|for|please|with)\b)"
"""Only where no street, no price and no people may follow: tomorrow at 8."""
_PART = r"(?:morning|afternoon|evening|night|noon)"
_DAY_OF_MONTH = (
    rf"(?:(?:the\s)?{_DAY}(?:\sof)?\s{_MONTH}\b(?:,?\s\d{{4}})?|{_MONTH}\s(?:the\s)?{_DAY}\b(?:,?\s\d{{4}})?)"
)
_WITHIN = (
    rf"(?:the\s)?(?:{_DAY[:-1]}|{'|'.join(ORDINALS.split())}|last|beginning|start|middle|end)(?:\sday)?\sof\s"
    rf"(?:{_MONTH}\b(?:\s\d{{4}})?|(?:the|next|this|last|coming)\s(?:week|month|year)\b)"
)
_DATE = (
    rf"(?:\d{{4}}-\d{{2}}-\d{{2}}(?:t\d{{2}}:\d{{2}}(?::\d{{2}})?(?:z|[+-]\d{{2}}:\d{{2}})?)?"
    rf"|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|\d{{1,2}}/\d{{1,2}}|\d{{1,2}}\.\d{{1,2}}\.(?!\w)"
    rf"|(?:(?:next|this|last|coming|on)\s)?{_WEEKDAY},?\s(?:{_DAY_OF_MONTH}|(?:the\s)?{_DAY[:-1]}\b|(?:next|this)\sweek\b)"
    rf"|{_DAY_OF_MONTH}|{_WITHIN}"
    rf"|\w+\s(?:days?|weeks?|months?)\sfrom\snow|a\sweek\s(?:from|after)\s(?:today|tomorrow|{_WEEKDAY})"
    rf"|(?:this|last)\s{_PART}"
    rf"|(?:january|february|april|june|july|august|september|october|november|december)(?:\s\d{{4}})?"
    rf"|(?:(?:next|this|last|coming|on)\s)?{_WEEKDAY}|(?:next|this|last)\s(?:week(?:end)?|month|year|summer|winter|spring|autumn)"
    rf"|(?:the\s)?day\s(?:after|before)\s(?:tomorrow|yesterday)|today|tonight|tomorrow|yesterday|right\snow|immediately"
    rf"|in\s(?:\w+)\s(?:days?|weeks?|months?)|(?:\w+)\s(?:days?|weeks?|months?|hours?|years?)\sago|the\s{_DAY[:-1]})"
)
_MOMENT = re.compile(
    rf"\b(?:(?P<day>{_DATE}(?:\s{_PART})?)(?:,?\s(?:at|around|about|by|before|after)?\s?(?P<hour>{_TIME}|{_BARE_HOUR}))?"
    rf"|(?P<first>{_TIME})(?:\s(?:on\s)?(?P<second>{_DATE}))?)(?!\w)",
    re.I,
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*")
_ADDRESS = re.compile(
    r"(?:\b\d+[a-z]?(?:\s[A-Z][\w'’-]+)+|\b(?:[A-Z][\w'’.-]+\s)+\d+[a-z]?\b)(?P<town>,\s(?:\d{4,5}\s)?[A-Z][\w'’-]+)?"
)
_IBAN = r"\b[A-Za-z]{2}\d{2}(?:\s[A-Z\d]{4}){2,7}(?:\s[A-Z\d]{1,3})?(?!\w)"
_PHONE = (
    r"(?<![\w.,(-])(?:\+\d{1,3}\s?)?\(\d{2,5}\)[\s-]?\d{2,}(?:[\s-]\d{2,})*(?!\w)"
    r"|(?<![\w.,/-])0\d{2,4}\s/\s\d{2,}(?:\s\d{2,})*(?!\w)"
)
"""With an area code in brackets, or before a slash: one of only digits and blanks is a code as any other."""
_CODE = re.compile(
    rf"{_IBAN}|{_PHONE}"
    r"|(?<![\w.,-])(?=(?:\D?\d){6})\+?\d{2,5}(?:\s\d{2,}){1,4}(?!\w)|\b[A-Z]{2,3}\s\d{2,}\b|\b[A-Z]{4,}\b"
    r"|(?<![\w@.,/-])(?=[A-Za-z/._-]*\d)[A-Za-z\d]+(?:[-/._][A-Za-z\d]+)*(?![\w@])"
)
_QUOTED = re.compile(r"[\"“”„«]([^\"“”„«»]+)[\"“”»]|(?<!\w)'([^']+)'(?!\w)")
_TYPED: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (_EMAIL, "email"),
    (_MOMENT, "date"),
    (_ADDRESS, "address"),
    (_CODE, "code"),
)
_LEAD_IN = word_set(
    """is are was be to at in on for from of with by as it's its that's make want need like call called named about near via
    into under number because worth after before says between and"""
)
"""Words after which a value may stand."""
_ENDS_PHRASE = (
    _LEAD_IN | word_set("please thanks thank i you we my your me us or but so if when then instead can could")
) - {"number"}
_IDIOMS = (
    "as well",
    "at all",
    "at least",
    "at once",
    "by now",
    "in total",
    "for now",
    "for good",
    "of course",
    "in advance",
)
"""Two words of which the second is no value."""
_BEFORE_A_VERB = word_set("want wants like need needs have love wish trying try going able plan planning")
_FILLERS = word_set("wait first sorry also oh hey hi hello well actually then now again ok okay yes thanks thank")
"""Words that alone are the values of an answer at most when they are all of it."""
_ARTICLES = ("the", "a", "an", "my", "our", "your")
PRONOUNS = word_set("i i'd i'm i'll i've i’d i’m i’ll i’ve ok")


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a message, with what it looks like and the word before it."""

    start: int
    end: int
    text: str
    kind: Kind
    lead: str = ""
    is_part: bool = False
    """True for the day or the hour alone, where a message names both."""


@lru_cache(maxsize=4096)
def spans(message: str) -> tuple[Span, ...]:
    """Every part that may be a value, the most telling kinds first; one part may be there as several kinds."""
    found: dict[tuple[int, int, Kind], Span] = {}
    tokens = [(match.start(), match.end()) for match in WORD.finditer(message)]

    def add(start: int, end: int, kind: Kind, is_part: bool = False) -> None:
        while end > start and message[end - 1] in " .!?,;:":
            end -= 1
        if end > start:
            before = [message[s:e].casefold() for s, e in tokens if e <= start]
            lead = before[-1] if before else ""
            if lead in _ARTICLES and len(before) > 1:
                lead = before[-2]
            found.setdefault((start, end, kind), Span(start, end, message[start:end], kind, lead, is_part))

    for match in _QUOTED.finditer(message):
        group = 1 if match[1] else 2
        add(match.start(group), match.end(group), "quoted")
    for pattern, kind in _TYPED:
        for match in pattern.finditer(message):
            start = match.start()
            if kind == "date":  # "on Monday" is Monday, "the 3rd" the 3rd
                start += len(match[0]) - len(re.sub(r"^(?:on|the(?!\sday))\s", "", match[0], flags=re.I))
            add(start, match.end(), kind)
            for parts in (("day", "hour"), ("first", "second")):
                if kind == "date" and all(match[part] for part in parts):
                    for part in parts:  # one slot may take the day, another the hour
                        add(max(start, match.start(part)), match.end(part), kind, True)
            if kind == "address" and match["town"]:
                add(start, match.start("town"), kind)
    for start, end in _capitalised_runs(message, tokens):
        add(start, end, "name")
    for start, end in _phrases(message, tokens):
        add(start, end, "phrase")
        first, _, rest = message[start:end].partition(" ")
        if first.casefold() in _ARTICLES and rest:
            add(start + len(first) + 1, end, "phrase")
    start = len(message) - len(message.lstrip())
    add(start, len(message.rstrip()), "whole")
    for at, (begin, end) in enumerate(tokens[:-1]):
        leads = message[begin:end].casefold() in _LEAD_IN and not _before_a_verb(message, tokens, at)
        if leads or message[end : end + 1] in (":", ","):
            add(tokens[at + 1][0], len(message.rstrip()), "clause")
    for begin, end in tokens:
        if message[begin:end].casefold() not in STOP_WORDS | _FILLERS:
            add(begin, end, "word")
    closed = [span for span in found.values() if span.kind in ("date", "email", "address", "code")]
    return tuple(span for span in found.values() if not any(_belongs(span, other) for other in closed))


def _belongs(span: Span, other: Span) -> bool:
    """True when a part is only a piece of a date, an address or the like and says nothing alone."""
    inside = other.start <= span.start and span.end <= other.end
    if span.kind == "clause" and other.kind == "date":
        return inside and span.start > other.start  # the end of a date
    if span.kind in ("quoted", "whole", "clause") or span.kind == other.kind:
        return False
    if other.kind in ("date", "email") and span.kind in ("address", "code"):
        return span.start < other.end and other.start < span.end
    if other.kind == "address" and "," in other.text[: max(0, span.start - other.start)]:
        return False  # the town of an address
    return inside and (span.start, span.end) != (other.start, other.end)


def _capitalised_runs(text: str, tokens: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Names; a capital at the very beginning of a longer message counts only when more follow it."""
    runs: list[tuple[int, int]] = []
    for at, (start, end) in enumerate(tokens):
        if not text[start].isupper() or text[start:end].casefold() in PRONOUNS:
            continue
        if runs and runs[-1][1] == tokens[at - 1][1] and text[runs[-1][1] : start].isspace():
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    begins = tokens[0][0] if tokens else 0
    return [run for run in runs if run[0] != begins or len(tokens) <= 2 or " " in text[run[0] : run[1]]]


def _before_a_verb(text: str, tokens: list[tuple[int, int]], at: int) -> bool:
    """True for both words of "want to", after which comes what is to be done."""
    said = [text[begin:end].casefold() for begin, end in tokens[max(0, at - 1) : at + 2]]
    return any(one in _BEFORE_A_VERB and other == "to" for one, other in pairwise(said))


def _phrases(text: str, tokens: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Up to five words after a preposition or the like, ending before the next one."""
    found = []
    for at, (start, end) in enumerate(tokens[:-1]):
        word = text[start:end].casefold()
        if word not in _LEAD_IN or _before_a_verb(text, tokens, at):
            continue
        stop = at + 1
        while stop < len(tokens) and stop - at <= 5:
            begin, finish = tokens[stop]
            if text[begin:finish].casefold() in _ENDS_PHRASE or not text[tokens[stop - 1][1] : begin].isspace():
                break
            stop += 1
        if stop > at + 1 and text[start : tokens[at + 1][1]].casefold() not in _IDIOMS:
            found.append((tokens[at + 1][0], tokens[stop - 1][1]))
    return found
