"""What English words show by themselves: stems, numbers, yes and no, and how commands are usually worded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from core.dialogue.commands import (
    CancelFlow,
    ChitChat,
    HumanHandoff,
    RepeatMessage,
    SearchAndReply,
    SkipQuestion,
)


def word_set(text: str) -> frozenset[str]:
    """The words of a text that lists them."""
    return frozenset(text.split())


WORD = re.compile(r"[^\W_]+(?:['’.,:/@+_-]+[^\W_]+)*")
_DIGITS = re.compile(r"(?<![\w.])-?(?:\d{1,3}(?:[\u00a0\u202f '’]\d{3})+(?![\w-])|\d+)(?:[.,]\d+)*")
_MORE = re.compile(r"k(?![^\W\d_])|\s(?P<scale>hundred|thousand|million)\b|(?P<half>\sand\sa\shalf\b)", re.I)
"""What may follow a number and belongs to it."""
_ENDINGS = ("ations", "ation", "ings", "ing", "ly", "ers", "er", "ies", "ed", "es", "s", "y", "e")

STOP_WORDS = word_set(
    """a an the i i'd i'll i'm i've you your me my we our us it its it's is are was were be been am to of in on at for and or with
    want would like can could please need this that these those do does did have has had get got user users user's customer
    customer's flow lets let let's their them they when about from will how what there here so just some any if by as not no
    whether which who name use using"""
)
"""Words that say nothing about a flow."""

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_NUMBERS = {word: number for number, word in enumerate(f"{_UNITS} eighteen nineteen".split())}
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS |= {word: 10 * tens for tens, word in enumerate(_TENS.split(), 2)}
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth"
)
_NUMBERS |= {word: number for number, word in enumerate(ORDINALS.split(), 1)}
_NUMBERS |= {"twentieth": 20, "thirtieth": 30, "couple": 2, "dozen": 12, "single": 1, "once": 1, "twice": 2, "alone": 1}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}

YES = re.compile(
    r"\b(?:yes|yeah|yea|yep|yup|ya|y|sure|ok|okay|correct|right|confirm(?:ed)?|affirmative|absolutely|definitely|certainly|agreed?"
    r"|true|please(?! don)|do it|do that|do so|go (?:ahead|for it|on)|proceed|fine|good|great|perfect|exactly|indeed|of course"
    r"|by all means|i'?ll take|i do|i am|i have|i would|i want|let'?s|why not|happy|satisfied|love|ja|oui|s[ií]|claro)\b",
    re.I,
)
NO = re.compile(
    r"\b(?:no|nope|nah|n|not|\w+n['’]t|dont|wont|cant|never|negative|wrong|incorrect|false|declined?|neither|nobody|nothing|none"
    r"|without|forget|leave it|drop it|skip|stop|cancel|wait|later|another time|think about it|too (?:expensive|much|late)"
    r"|unhappy|dissatisfied|nein|non)\b",
    re.I,
)

YES_FIRST = re.compile(
    r"\W*(?:はい|ええ|うん|是的|好的|是|对|對|네|예|응|نعم|أجل|ايوه|כן|हाँ|हां|जी"
    r"|(?:да|так|evet|sim|tak|jo|jep|genau|stimmt|passt|gerne?|natürlich|klar|richtig|d['’]accord|vale|sì|certo|jawohl|ναι)\b)",
    re.I,
)
NO_FIRST = re.compile(
    r"\W*(?:いいえ|いや|不是|不要|不用|不|否|아니|لا(?!\w)|كلا|לא(?!\w)|नहीं"
    r"|(?:нет|ні|hayır|não|nie|nee|noch nicht|lieber nicht|auf keinen fall|keine?|όχι)\b)",
    re.I,
)
"""Other languages' words for yes and no count where a message begins with them."""

_CUES: dict[type, re.Pattern[str]] = {
    CancelFlow: re.compile(
        r"\b(?:cancel\w*|stop|forget|never ?mind|abort|quit|drop|scrap|leave it|call (?:it|that|this) off|changed? my mind|"
        r"not interested|no longer|don['’]?t (?:want|need|bother)|let['’]?s not|actually no|enough|exit|back out|give up|"
        r"not (?:now|any ?more)|skip (?:it|this|that)|end this|too complicated|do(?:es)?n['’]?t matter)\b",
        re.I,
    ),
    HumanHandoff: re.compile(
        r"\b(?:humans?|persons?|agents?|someone|somebody|operators?|representatives?|people|staff|advis[oe]rs?|employee|"
        r"colleague|manager|supervisor|customer (?:service|support|care)|real (?:one|human|person)|transfer me|call me)\b",
        re.I,
    ),
    SkipQuestion: re.compile(
        r"\b(?:skip|rather not|prefer not|next question|pass|none of your|not (?:telling|saying|sure|say)|don['’]?t (?:know|want to"
        r" (?:say|answer|tell))|no idea|private|won['’]?t (?:say|tell)|why do you (?:need|ask|want)|not comfortable)\b",
        re.I,
    ),
    RepeatMessage: re.compile(
        r"\b(?:repeat|say (?:that|it|this) again|again|come again|once more|one more time|pardon|what was (?:that|the)|did you say|"
        r"didn['’]?t (?:catch|get|hear|understand)|missed that|excuse me)\b",
        re.I,
    ),
    SearchAndReply: re.compile(
        r"^(?:and |so |but |hi,? |hello,? )?(?:what|how|when|where|why|which|who|does|do|did|is|are|can|could|will|would|may|am|"
        r"should|tell me|explain)\b|\?\s*$|\b(?:tell me (?:about|more)|explain|information|wondering|wonder)\b",
        re.I,
    ),
    ChitChat: re.compile(
        r"\b(?:hello|hi|hey|good (?:morning|evening|afternoon|day|night)|jokes?|weather|thanks?|thank you|thx|cool|nice|lovely|funny|"
        r"haha\w*|lol|wow|how are you|how['’]s it going|how do you do|are you|do you (?:like|love|know|have|sleep|eat|dream)|you are|"
        r"you['’]re|your (?:name|favou?rite|voice|day)|love you|sing|meaning of life|bye|who (?:made|are)|what['’]?s up|bored|"
        r"happy|amazing|awesome|stupid|football|music|movies?)\b",
        re.I,
    ),
}

"""Wording that suggests a command. The conversation decides; these only tell readings apart that both fit it."""
NO_SIGN = 0.5
"""The doubt about a command that no word of a message suggests."""
COMMANDS_WITH_WORDING = tuple(_CUES)
_TELLING = (HumanHandoff, RepeatMessage)
"""Commands whose wording is more telling than that of questions and small talk."""

CORRECTION = re.compile(
    r"\b(?:sorry|meant?|instead|actually|rather|wrong|correct(?:ion)?|change|make (?:it|that)|mistake|not|no|wait|oops|should be|"
    r"switch|update|different|better)\b",
    re.I,
)


def words(text: str) -> list[str]:
    """The words of a text, lower case, inner punctuation kept (3.5, e-mail, o'clock)."""
    return [word.casefold() for word in WORD.findall(text)]


@lru_cache(maxsize=65536)
def stems(text: str) -> frozenset[str]:
    """Content words cut to their beginnings, so that "booking" meets "booked"."""
    plain = text.replace("_", " ").replace("-", " ").replace("’", "'")
    return frozenset(stem(word) for word in words(plain) if word not in STOP_WORDS)


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    word = word.removesuffix("'s")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def numbers(message: str) -> list[float]:
    """Numbers in digits or English words: those in digits first, each in order."""
    found = sorted(number_spans(message), key=lambda span: (message[span[0]].isalpha(), span[0]))
    return [value for _, _, value in found]


def number_spans(message: str) -> Iterator[tuple[int, int, float]]:
    """(start, end, value) of each number: 1,250.50, 12,5, 20k, 1.5 million, 31st, "forty five", "two hundred", "the fifteenth"."""
    for match in _DIGITS.finditer(message):
        value = _written(match[0])
        if value is not None:
            end, value = _with_more(message, match.end(), value)
            yield match.start(), end, value
    total: float = 0.0
    start = end = -1
    for match in WORD.finditer(message.replace("-", " ")):
        word = match[0].casefold()
        if start >= 0 and word in _SCALES:
            total, end = max(total, 1) * _SCALES[word], match.end()
        elif start >= 0 and total >= 20 and word in _NUMBERS and _NUMBERS[word] < min(total, 100):
            total, end = total + _NUMBERS[word], match.end()
        elif word in _NUMBERS or (word in _SCALES and not message[: match.start()].rstrip()[-1:].isdigit()):
            if start >= 0:
                yield start, end, total
            total, start, end = float(_NUMBERS.get(word, _SCALES.get(word, 0))), match.start(), match.end()
        elif start >= 0 and not (word == "and" and total >= 100):
            yield start, *_with_more(message, end, total)
            start = -1
    if start >= 0:
        yield start, end, total


def _written(text: str) -> float | None:
    """1,250.50, 1250.50, 1 250, 1.250,50 and 1.250.000; one comma with other than three digits after it is a decimal comma."""
    text = re.sub(r"[\s'’]", "", text)
    whole, comma, part = text.rpartition(",")
    if comma and "," not in whole and ("." in whole or ("." not in part and len(part) != 3)):
        text = f"{whole.replace('.', '')}.{part}"
    elif text.count(".") > 1 and re.fullmatch(r"-?\d{1,3}(?:\.\d{3})+", text):
        text = text.replace(".", "")
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def _with_more(message: str, end: int, value: float) -> tuple[int, float]:
    """A number with what follows it: 20k, 1.5 million, two and a half."""
    more = _MORE.match(message, end)
    if more is None:
        return end, value
    if more["half"]:
        return more.end(), value + 0.5
    return more.end(), value * _SCALES.get((more["scale"] or "").casefold(), 1000)


def doubt(command: type, message: str) -> float:
    """0 to 0.5: how little a message's words suggest a command; the less of it they make up, the more."""
    vague = 0.15 * (command in (SearchAndReply, ChitChat) and any(_CUES[kind].search(message) for kind in _TELLING))
    match = _CUES[command].search(message)
    if match is None:
        return NO_SIGN
    return vague + 0.1 * (1 - min(1.0, len(match[0]) / max(len(message.strip()), 1)))
