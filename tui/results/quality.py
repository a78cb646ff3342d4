"""What rows are worth: what is taught too thinly, how far validation is from train, why wordings were rejected, how diverse they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from textual.content import Content

from core.dataset.account import advice
from tui.safe_text import one_line, safe
from tui.widgets.bars import bar

_MOST_PAIRS = 5
_NEAR = 0.2
"""Distance below which two messages say nearly the same."""


def quality(summary: Mapping[str, Any]) -> Content:
    """All that the summary tells about it, one paragraph a question."""
    split, rephrasing = summary["split"], summary["rephrasing"]
    paragraphs = [
        _thin(split.get("thin")),
        _leakage("Distance of validation from train", split.get("leakage")),
        _leakage("Distance of golden tests from what is learnt", split.get("golden_leakage")),
        _sides(split),
        _rejected(rephrasing),
        _diversity(rephrasing),
    ]
    return Content("\n\n").join([paragraph for paragraph in paragraphs if paragraph is not None])


def _titled(title: str, lines: list[Content]) -> Content:
    return Content("\n").join([Content.styled(title, "bold"), *lines])


def _thin(few: Mapping[str, int] | None) -> Content | None:
    """What few tests hold, and what to write."""
    if few is None:
        return None
    if not few:
        return _titled(
            "Taught thinly", [Content.styled("nothing: at least 3 tests hold each flow, command and slot", "$muted")]
        )
    return _titled("Taught thinly", [Content.styled(safe(sentence), "$text-warning") for sentence in advice(few)])


def _leakage(title: str, found: Mapping[str, Any] | None) -> Content | None:
    """How near tests that are held out are to those learnt from; the nearest pairs."""
    if found is None or found.get("nearest") is None:
        return None
    lines = [Content.assemble(*_distances(found))]
    for pair in found.get("pairs", [])[:_MOST_PAIRS]:
        near = "$text-warning" if pair["distance"] < _NEAR else "$muted"
        lines.append(
            Content.assemble(
                (f"{pair['distance']:.2f}  ", near),
                _test(pair["held_out"]),
                ("\n      learnt: ", "$muted"),
                _test(pair["train"], "$muted"),
            )
        )
    return _titled(title, lines)


def _test(id: str, style: str = "") -> Content:
    file, _, name = id.rpartition("::")
    return Content.assemble((one_line(name, 300), style), (f"  {one_line(Path(file).name, 80)}", "$faint"))


def _distances(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("nearest", "median"):
        value = found.get(name)
        if value is not None:
            yield f"{value:.2f}", "$text-warning" if name == "nearest" and value < _NEAR else "bold"
            yield f" {name}   ", "$muted"
    yield "0 says the same, 1 has nothing in common", "$faint"


def _sides(split: Mapping[str, Any]) -> Content | None:
    lines = []
    if (aside := split.get("golden_tests")) is not None:
        lines.append(_fact(f"{aside:,}", "tests set aside for the production model's own evaluation"))
    if (left := split.get("left_out_points")) is not None:
        lines.append(_fact(f"{left:,}", "rows left out of validation, since train shows them too"))
    if (known := split.get("val_messages_known_from_train")) is not None:
        lines.append(_fact(_percent(known), "of validation's messages are in train word for word, in other situations"))
    return _titled("Sides", lines) if lines else None


def _rejected(rephrasing: Mapping[str, Any]) -> Content | None:
    shares = rephrasing.get("rejected_share")
    if shares is None:
        return None
    if not shares:
        text = "none" if rephrasing.get("candidates") else "no other wordings were asked for"
        return _titled("Wordings rejected", [Content.styled(text, "$muted")])
    width = max(len(reason) for reason in shares)
    lines = [
        Content.assemble(f"{reason:<{width}}  ", bar(share, 20, "$text-warning"), f" {100 * share:.1f} %")
        for reason, share in sorted(shares.items(), key=lambda entry: -entry[1])
    ]
    return _titled(f"Wordings rejected: {rephrasing['failed']:,} of {rephrasing['candidates']:,}", lines)


def _diversity(rephrasing: Mapping[str, Any]) -> Content | None:
    facts = [
        ("distinct_1", _percent, "of the words are different ones"),
        ("distinct_2", _percent, "of the pairs of words are different ones"),
        ("mean_distance", "{:.2f}".format, "between the wordings of a message: 0 repeats it, 1 has nothing in common"),
    ]
    lines = [_fact(form(rephrasing[key]), what) for key, form, what in facts if rephrasing.get(key) is not None]
    return _titled("Diversity of wordings", lines) if lines else None


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _fact(value: str, what: str) -> Content:
    return Content.assemble((f"{value:>7}", "bold"), (f"  {what}", "$muted"))
