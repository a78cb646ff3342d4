"""What a report is built of, whether it becomes HTML or Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from markupsafe import Markup

from core.evaluation.report_content import Case

Tone = Literal["good", "bad", "unsure", "quiet"]


@dataclass(frozen=True)
class Badge:
    """A word that is a verdict."""

    text: str
    tone: Tone
    kind: ClassVar[str] = "badge"


@dataclass(frozen=True)
class Picture:
    """A small drawing in a table, and the text that says the same."""

    svg: Markup
    text: str
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Detailed:
    """A text with a smaller one below."""

    text: str
    detail: str
    kind: ClassVar[str] = "detailed"


Cell = str | Badge | Picture | Detailed


@dataclass(frozen=True)
class Table:
    """Rows under a header."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    numeric: frozenset[int] = frozenset()
    """Columns of numbers."""
    wide: int | None = None
    """The column that takes what room there is."""
    stacks: bool = True
    """On a phone, each row becomes a card; tables of few short columns stay as they are."""
    mono: frozenset[int] = frozenset()
    """Columns of checksums and the like."""
    note: str = ""
    kind: ClassVar[str] = "table"

    @property
    def small(self) -> bool:
        """Few short columns, which would be lost on a whole line."""
        return not self.stacks and len(self.header) <= 3


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    pairs: tuple[tuple[str, str], ...]
    title: str = ""
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Paragraph:
    text: str
    tone: Literal["", "quiet", "next"] = ""
    """"next" is advice on what to do."""
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Figure:
    """A drawing; `caption` says in words what it shows."""

    title: str
    svg: Markup
    caption: str
    legend: tuple[tuple[str, str], ...] = ()
    """(class of the line, text)"""
    letters: tuple[str, ...] = ()
    """The drawing in letters, line by line, where no picture can be shown."""
    kind: ClassVar[str] = "figure"


@dataclass(frozen=True)
class Code:
    """Text as it is, line by line."""

    title: str
    text: str
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Cases:
    """Turns that went wrong, for one reason."""

    title: str
    cases: tuple[Case, ...]
    kind: ClassVar[str] = "cases"


@dataclass(frozen=True)
class Heading:
    text: str
    kind: ClassVar[str] = "heading"


Block = Table | Facts | Paragraph | Figure | Code | Cases | Heading


@dataclass(frozen=True)
class Section:
    """A chapter."""

    id: str
    title: str
    blocks: tuple[Block, ...] = field(default=())


@dataclass(frozen=True)
class Card:
    """One figure to be seen first."""

    label: str
    value: str
    note: str = ""
    tone: Tone | Literal[""] = ""
