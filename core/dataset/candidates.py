"""Which values a message may give a slot, with costs from 0 (certain) to 1 (a guess) that the search in `infer.py` adds up."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from core.assistant.domain import Slot
from core.dataset.language import NO, NO_FIRST, YES, YES_FIRST, number_spans, stems, word_set, words
from core.dataset.spans import PRONOUNS, Kind, Span, spans
from core.dialogue.values import acceptable, coerce

Role = Literal["asked", "ahead"]
"""Whether the bot has just asked for the slot, or the user would volunteer the value."""

CLEAR = 0.15
"""Up to this cost the words themselves speak for a value, whether it was asked for or not."""
OTHER_CASE = 0.02
"""Cost of a value that the message spells in other case."""

_TOPICS: dict[str, frozenset[str]] = {
    topic: frozenset(listed.split())
    for topic, listed in {
        "date": "date day when time start end deadline birthday birth dob arrival departure month year until moment schedule",
        "place": "city country destination origin location place town airport station region state where area",
        "street": "address street",
        "person": "name person contact recipient payee doctor friend owner guest author agent",
        "code": "number code id identifier reference ref policy postcode zip iban account serial plate vin pin phone digits order",
        "email": "email mail e-mail",
        "text": "reason purpose description comment message issue problem feedback note text detail details question subject why what",
        "money": "amount price cost value budget fee balance salary payment limit sum euros dollars pounds money total spend income",
        "from": "origin from source start departure leaves leave pickup sender",
        "to": "destination to target arrival goes recipient towards payee receiver",
    }.items()
}
_FITTING: dict[str, tuple[Kind, ...]] = {
    "date": ("date",),
    "place": ("name", "address"),
    "street": ("address",),
    "person": ("name",),
    "code": ("code",),
    "email": ("email",),
    "text": ("quoted",),
}
_BASE: dict[Kind, float] = {
    "quoted": 0.05,
    "email": 0.12,
    "date": 0.16,
    "address": 0.14,
    "code": 0.16,
    "name": 0.14,
    "phrase": 0.25,
    "clause": 0.22,
    "whole": 0.35,
    "word": 0.45,
}
_CURRENCY = re.compile(r"^\s?(?:€|\$|£|euros?\b|eur\b|dollars?\b|usd\b|pounds?\b|bucks?\b|cents?\b)|[€$£]\s?$", re.I)
_OCLOCK = re.compile(r"\s?(?:o['’]clock|[ap]\.?m\b)", re.I)
_CLAUSES = re.compile(r"[;.!?]\s|,?\s(?:and|but)\s", re.I)
_HOURS = stems("hour hours time clock")
_ADDRESS = stems("address")
_NEGATION = word_set("no not without never don't isn't won't non")
_REASON_LEADS = word_set("for because about with regarding as")
_ASIDE = word_set("to at in on from of with by is are was it's its i i'm i'd that's want need like please make can")
"""Words with which an answer of a value alone does not begin."""
_SENTENCE = word_set("is are was it's its i i'm i'd that's want need like please make can name my")
"""Words that show that a value is not said alone."""


@dataclass(frozen=True)
class Candidate:
    """A value a slot may have been given."""

    value: Any
    cost: float
    span: tuple[int, int] | None = None
    """The characters of the message it was read from; None when it is no part of it."""
    is_all: bool = False
    """True for a whole message taken as it is, which is not the case where it starts a flow too."""


@dataclass(frozen=True)
class Question:
    """What is known of a slot beside its type."""

    slot: Slot
    about: str = ""
    """Descriptions of the slot where flows collect it."""
    constants: tuple[Any, ...] = ()
    """Values that conditions compare the slot with."""
    topics: frozenset[str] = field(init=False)
    near: frozenset[str] = field(init=False)
    """Stems that, near a value, speak for this slot."""

    def __post_init__(self) -> None:
        named = frozenset(words(self.slot.name.replace("_", " ").replace("-", " ")))
        told = frozenset(words(self.about))
        topics = {topic for topic, signs in _TOPICS.items() if signs & named}
        kinds = topics & _FITTING.keys()
        topics |= {topic for topic, signs in _TOPICS.items() if signs & told and (topic not in _FITTING or not kinds)}
        object.__setattr__(self, "topics", frozenset(topics))
        object.__setattr__(self, "near", stems(f"{self.slot.name} {self.about}"))


def values(question: Question, message: str, role: Role = "asked", expected: Sequence[Any] = ()) -> list[Candidate]:
    """Values the message may give a slot, cheapest first. `expected`: values the test names for it."""
    slot = question.slot
    found: dict[tuple[str, str], Candidate] = {}

    everything = next(((span.start, span.end) for span in spans(message) if span.kind == "whole"), None)
    tells = "text" in question.topics

    def offer(value: Any, cost: float, span: tuple[int, int] | None = None) -> None:
        value = coerce(slot, value)
        if value is not None and acceptable(slot, value):
            key = (type(value).__name__, str(value))
            known = found.get(key, Candidate(value, 1.0))
            if key not in found or cost < known.cost:
                is_all = span == everything and span is not None and not tells and value not in expected
                found[key] = Candidate(value, max(cost, 0.0), span or known.span, is_all)

    if slot.type == "bool":
        for truth, cost in _booleans(question, message, role):
            offer(truth, cost)
    elif slot.type == "categorical":
        for value in slot.values:
            offer(value, categorical_cost(str(value), message), _place(value, message))
    elif slot.type == "float":
        for start, end, number in number_spans(message):
            offer(number, _number_cost(question, message, start, end), (start, end))
    else:
        for value, cost, span in _texts(question, message, role):
            offer(value, cost, span)
        for value in question.constants:
            if value is not None and str(value).casefold() in words(message):
                offer(value, 0.05)
    for value in expected:
        if slot.type in ("text", "any") and _loses_zeros(value, message):
            continue  # `pin: 0042` without quotes is 42 to YAML, and that is not what the user says
        place = _place(value, message)
        if place is not None and (said := message[slice(*place)]) != value:
            offer(said, 0.0, place)  # an action may spell it as the test has it
            offer(value, OTHER_CASE, place)
        else:
            offer(value, 0.0 if _is_said(value, message) else 0.35, place)
    return sorted(found.values(), key=lambda candidate: candidate.cost)


def clear(question: Question, message: str) -> list[Candidate]:
    """Only values that the words show without a question."""
    return [candidate for candidate in values(question, message, "ahead") if candidate.cost <= CLEAR]


def repeated(message: str, later_texts: Iterable[str]) -> list[Candidate]:
    """The longest runs of words that the bot will say word for word, where they say something."""
    found = []
    bounds = [(span.start, span.end) for span in spans(message) if span.kind == "word"]
    tokens = sorted(set(bounds) | {(m.start(), m.end()) for m in re.finditer(r"\S+", message.rstrip(" .!?,;"))})
    for later in later_texts:
        folded, covered = later.casefold(), -1
        for start, _ in tokens:
            if start < covered:
                continue
            ends = [end for _, end in tokens if end > start and message[start:end].strip(" .!?,;").casefold() in folded]
            if ends and stems(text := message[start : max(ends)].strip(" .!?,;")):
                covered = max(ends)
                found.append(Candidate(text, 0.04, (start, start + len(text))))
    return found


# Text


def _texts(question: Question, message: str, role: Role) -> Iterator[tuple[str, float, tuple[int, int]]]:
    for span in spans(message):
        if role == "ahead" and span.kind in ("whole", "clause", "word"):
            continue
        if span.kind in ("phrase", "clause") and not stems(span.text):
            continue  # "four of them": a pronoun is no value
        if span.is_part and "date" not in question.topics:
            continue
        yield span.text, _text_cost(question, message, span, role), (span.start, span.end)


def _text_cost(question: Question, message: str, span: Span, role: Role) -> float:
    kinds = [kind for topic in question.topics for kind in _FITTING.get(topic, ())]
    cost = _BASE[span.kind]
    if span.kind in ("whole", "clause"):
        said = words(span.text)
        if "text" in question.topics and span.kind == "whole":
            cost = 0.12
        elif "text" in question.topics and message[: span.start].rstrip().endswith(":"):
            cost = 0.08
        elif "text" in question.topics and span.lead == "because":
            cost = 0.11 if message.casefold().startswith("because") else 0.13
        elif 0 < len(said) <= 4 and not _SENTENCE & set(said) and span.kind == "whole" and said[0] not in _ASIDE:
            cost -= 0.2
        elif span.kind == "clause" and "text" not in question.topics and PRONOUNS & set(said):
            cost += 0.25  # a request rather than a value
        return cost
    if span.kind == "phrase":
        if "text" in question.topics and span.lead in _REASON_LEADS:
            cost = 0.13
        elif "place" in question.topics and span.lead in ("to", "in", "from", "at"):
            cost = 0.17
    elif kinds:
        cost = 0.03 if span.kind in kinds else cost + 0.25
    cost += 0.05 if span.is_part else 0.0
    for direction, other in (("from", "to"), ("to", "from")):
        if span.lead == direction and direction in question.topics:
            cost -= 0.08
        elif span.lead == direction and other in question.topics:
            cost += 0.3
    if span.kind == "address" and question.near >= _ADDRESS:
        cost -= 0.01 * span.text.count(",")  # with the town, where a slot takes all of it
    if _near(question, message, span.start, span.end):
        return cost - 0.04
    return cost + (0.1 if role == "ahead" and span.kind in ("code", "name") and span.kind not in kinds else 0.0)


def _near(question: Question, message: str, start: int, end: int) -> bool:
    """True when one of the few words beside a value is one of the slot's own."""
    before = " ".join(re.split(r"[,;.!?]\s", message[:start])[-1].split()[-3:])
    after = " ".join(re.split(r"[,;.!?]\s", message[end:])[0].split()[:2])
    return bool(question.near & (stems(before) | stems(after)))


# Other types


def _number_cost(question: Question, message: str, start: int, end: int) -> float:
    if any(
        span.start <= start and end <= span.end and (span.start, span.end) != (start, end)
        for span in spans(message)
        if span.kind in ("date", "code", "email", "address")
    ):
        return 0.05 if question.near & _HOURS and _OCLOCK.match(message, end) else 0.4
    cost = 0.04 if _near(question, message, start, end) else 0.1
    if _CURRENCY.search(message[end : end + 9]) or _CURRENCY.search(message[max(0, start - 2) : start]):
        cost = 0.03 if "money" in question.topics else 0.3
    if message[start:end].casefold() in ("one", "first", "second", "third", "single", "alone", "once", "twice"):
        cost += 0.0 if _near(question, message, start, end) else 0.2
    return cost


def _booleans(question: Question, message: str, role: Role) -> Iterator[tuple[bool, float]]:
    named = stems(question.slot.name) - {"confirm", "want", "need"}
    said = words(message)
    mentioned = bool(named) and named <= stems(message)
    denied = mentioned and any(
        _NEGATION & set(said[max(0, at - 3) : at]) for at, word in enumerate(said) if named & stems(word)
    )
    if role == "ahead":
        if mentioned:
            yield not denied, 0.08
        return
    cleaned = re.sub(r"\bno (?:problem|worries|doubt)\b", "yes", message, flags=re.I)
    yes, no = YES.search(cleaned), NO.search(cleaned)
    if not yes and not no:
        yes, no = YES_FIRST.match(message), NO_FIRST.match(message)
    if yes and no:
        first = yes.start() < no.start() and not re.match(r"[\W]*(?:i|please)\b", yes[0], re.I)
        if min(yes.start(), no.start()) > 0:
            # "it does not work, and yes, I restarted it": the part that speaks of the slot answers its question
            parts = [part for part in _CLAUSES.split(cleaned) if question.near & stems(part)]
            told = [(bool(YES.search(part)), bool(NO.search(part))) for part in parts]
            first = told == [(True, False)] or (first and told != [(False, True)])
        yield True, 0.1 if first else 0.3
        yield False, 0.3 if first else 0.1
    elif yes or no:
        yield True, 0.0 if yes else 0.7
        yield False, 0.0 if no else 0.7
    else:
        yield True, 0.2 if mentioned and not denied else 0.5
        yield False, 0.2 if denied else 0.5


@lru_cache(maxsize=65536)
def categorical_cost(value: str, message: str) -> float:
    """How little a message speaks for one of a slot's values."""
    plain, said = _levelled(value), f" {_levelled(message)} "
    if plain and f" {plain} " in said:
        at = said.index(f" {plain} ")
        return 0.3 if set(said[:at].split()[-2:]) & {"not", "no", "without"} else 0.0
    meant, heard = stems(value), stems(message)
    if meant and meant <= heard:
        return 0.1
    if meant & heard:
        return 0.3
    alike = max((difflib.SequenceMatcher(None, plain, word).ratio() for word in words(message)), default=0.0)
    return 0.2 if alike > 0.8 else 0.7 - 0.3 * alike


def _levelled(text: str) -> str:
    return re.sub(r"[_\W]+", " ", text.casefold()).strip()


def _is_said(value: Any, message: str) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return any(number == value for _, _, number in number_spans(message))
    return str(value).casefold() in message.casefold()


def _loses_zeros(value: Any, message: str) -> bool:
    """True for a number that a message writes with zeros before it."""
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return any(int(digits) == value for digits in re.findall(r"(?<!\w)0\d+(?!\w)", message))


def _place(value: Any, message: str) -> tuple[int, int] | None:
    at = message.casefold().find(str(value).casefold())
    return (at, at + len(str(value))) if at >= 0 and isinstance(value, str) else None
