"""Numbers -> pictures as SVG. Colours are classes of run.css, so that they follow the theme; text stays text."""

from collections.abc import Sequence

from markupsafe import Markup

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 348, 12, 182  # the edges of the plot
HATCH = Markup(
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<line x1="1" y1="0" x2="1" y2="6" class="hatch"/></pattern></defs>'
)


def picture(title: str, description: str, body: Sequence[Markup], width: int = WIDTH, height: int = HEIGHT) -> Markup:
    return Markup(
        '<svg role="img" viewBox="0 0 {0} {1}" width="{0}" height="{1}"><title>{2}</title><desc>{3}</desc>{4}</svg>'
    ).format(width, height, title, description, Markup("").join(body))


def line(x1, y1, x2, y2, kind: str) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, kind)


def box(x, y, width, height, kind: str) -> Markup:
    return Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}"/>').format(
        x, y, width, height, kind
    )


def dot(x, y, kind: str, radius: float = 4) -> Markup:
    return Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}" class="{}"/>').format(x, y, radius, kind)


def diamond(x, y, kind: str) -> Markup:
    return Markup('<path d="M{:.1f} {:.1f}l5 5l-5 5l-5 -5z" class="{}"/>').format(x, y - 5, kind)


def word(x, y, text, anchor: str = "start") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def axes(x_label: str, x_ticks: dict, y_ticks: dict) -> list[Markup]:
    """The frame of a plot. ticks: {place in the picture: text}"""
    found = [line(LEFT, y, RIGHT, y, "grid") for y in y_ticks]
    found += [word(LEFT - 6, y + 4, text, "end") for y, text in y_ticks.items()]
    found += [word(x, BOTTOM + 16, text, "middle") for x, text in x_ticks.items()]
    return [*found, line(LEFT, BOTTOM, RIGHT, BOTTOM, "axis"), word((LEFT + RIGHT) / 2, HEIGHT - 4, x_label, "middle")]


def place(value: float, low: float, high: float, begin: float, end: float) -> float:
    return begin + (value - low) / ((high - low) or 1) * (end - begin)


def curve(title: str, epochs: Sequence[float], lines: dict[str, Sequence[float]], high: float, digits: int) -> Markup:
    """Lines over the epochs, from 0 to `high`: the first with round marks, the second dashed, with diamonds."""
    shown = {place(epoch, epochs[0], epochs[-1], LEFT + 16, RIGHT - 16): epoch for epoch in epochs}
    every = -(-len(shown) // 10)
    ticks = {place(high * part / 4, 0, high, BOTTOM, TOP): f"{high * part / 4:.{digits}f}" for part in range(5)}
    body = axes("epoch", dict(list(shown.items())[::every]), ticks)
    for values, kind, mark in zip(lines.values(), ("first", "second"), (dot, diamond)):
        points = [(x, place(value, 0, high, BOTTOM, TOP)) for x, value in zip(shown, values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        body += [Markup('<polyline points="{}" class="{}"/>').format(path, kind)]
        body += [mark(x, y, kind) for x, y in points]
    described = "; ".join(f"{name}: {', '.join(f'{value:.4f}' for value in values)}" for name, values in lines.items())
    return picture(title, described, body)


def histogram(title: str, bins: Sequence[tuple]) -> Markup:
    """(from, to, right, wrong) of each bin -> columns, what is wrong at the foot and hatched."""
    high = round_number(max(right + wrong for _, _, right, wrong in bins))
    ticks = {place(high * part / 2, 0, high, BOTTOM, TOP): f"{high * part / 2:,g}" for part in range(3)}
    body = [HATCH, *axes("probability of the predicted class", share_ticks(), ticks)]
    for low, up, right, wrong in bins:
        x, wide = place(low, 0, 1, LEFT, RIGHT), place(up - low, 0, 1, 0, RIGHT - LEFT) - 2
        middle, top = (place(count, 0, high, BOTTOM, TOP) for count in (wrong, wrong + right))
        if right:
            body.append(box(x + 1, top, wide, middle - top, "right"))
        if wrong:
            drawn = Markup(
                '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="wrong" fill="url(#hatch)"/>'
            )
            body.append(drawn.format(x + 1, middle, wide, BOTTOM - middle))
    counts = (f"{low:.1f} to {up:.1f}: {right} right, {wrong} wrong" for low, up, right, wrong in bins if right + wrong)
    return picture(title, "; ".join(counts), body)


def reliability(title: str, dots: Sequence[tuple]) -> Markup:
    """(confidence, accuracy, low, high) of each bin -> dots with intervals, beside the diagonal of honest numbers."""
    ticks = {place(part / 4, 0, 1, BOTTOM, TOP): f"{part / 4:.2f}" for part in range(5)}
    body = [*axes("probability of the predicted class", share_ticks(), ticks), line(LEFT, BOTTOM, RIGHT, TOP, "ideal")]
    for confidence, accuracy, *interval in dots:
        x = place(confidence, 0, 1, LEFT, RIGHT)
        low, y, high = (place(value, 0, 1, BOTTOM, TOP) for value in (interval[0], accuracy, interval[1]))
        body += [line(x, low, x, high, "whisker"), dot(x, y, "first")]
    described = "; ".join(f"at {dot[0]:.3f}, {dot[1]:.3f} are right" for dot in dots)
    return picture(title, described, body)


def share_ticks() -> dict:
    return {place(part / 5, 0, 1, LEFT, RIGHT): f"{part / 5:.1f}" for part in range(6)}


def round_number(most: int) -> int:
    """The next of 2, 4, 6, 10, 20, 40 ... that is not below `most`"""
    unit = 10 ** max(0, len(str(most)) - 1)
    return next(step * unit for step in (1, 2, 4, 6, 10) if step * unit >= max(2, most))


def interval(share: float, low: float, high: float, whole: float) -> Markup:
    """For a cell of a table: a share with its interval on a line from 0 to 1, and a stroke at that of all rows."""
    body = [line(0, 8, 120, 8, "grid"), line(whole * 120, 1, whole * 120, 15, "ideal")]
    body += [line(low * 120, 8, high * 120, 8, "whisker"), dot(share * 120, 8, "first")]
    text = f"{share:.3f}, between {low:.2f} and {high:.2f}"
    return picture(text, f"all rows: {whole:.3f}", body, 120, 16)
