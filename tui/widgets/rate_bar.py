"""A rate as a bar that shows how sure it is: its interval as a band behind it, the minimum asked for as a mark across."""

from __future__ import annotations

from textual.content import Content

_BAND = "on $foreground 24%"


def rate_bar(
    rate: float,
    width: int,
    style: str = "$text-primary",
    interval: tuple[float, float] | None = None,
    minimum: float | None = None,
) -> Content:
    """All shares from 0 to 1, clipped to it."""
    full, mark = round(_inside(rate) * width), None if minimum is None else _cell(minimum, width)
    band = range(0)
    if interval is not None:
        band = range(_cell(interval[0], width), _cell(interval[1], width) + 1)
    cells = []
    for cell in range(width):
        colour = style if cell < full else "$track"
        glyph = "━"
        if cell == mark:
            glyph, colour = "┃", "bold $foreground"
        cells.append(Content.styled(glyph, f"{colour} {_BAND}" if cell in band else colour))
    return Content("").join(cells)


def difference_bar(difference: float, interval: tuple[float, float], margin: float, width: int = 41) -> Content:
    """A difference of two rates on a line whose middle is 0, with its interval; ┊ marks the loss that is borne."""
    reach = max(abs(interval[0]), abs(interval[1]), margin, 0.01) * 1.1

    def cell(value: float) -> int:
        return min(width - 1, max(0, round((value / reach + 1) / 2 * (width - 1))))

    low, high, point, zero, lost = (cell(value) for value in (*interval, difference, 0.0, -margin))
    cells = []
    for at in range(width):
        text, style = ("━", "$text-primary") if low <= at <= high else ("─", "$track")
        if at == zero:
            text, style = "│", "$muted"
        if at == lost:
            text, style = "┊", "bold $text-warning"
        if at == point:
            text, style = "●", "bold $text-primary"
        cells.append(Content.styled(text, style))
    return Content("").join(cells)


def _inside(share: float) -> float:
    return min(1.0, max(0.0, share))


def _cell(share: float, width: int) -> int:
    return min(width - 1, int(_inside(share) * width))
