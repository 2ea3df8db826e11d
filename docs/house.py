"""Draw docs/house.svg: the rooms of the package, who imports whom, and the way of a text through the files.

    python docs/house.py            write docs/house.svg
    python docs/house.py --check    exit status 1 if the file is not what would be written

The files and the grey arrows are read from the package. The order of the floors and the captions are written here; a
file without a caption is an error, and an import that points upwards is drawn in red.
"""

import ast
import itertools
import sys
import textwrap
from html import escape
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "minbert"
PICTURE = Path(__file__).parent / "house.svg"

# The floors from the top; a floor is a row of rooms. A room: its caption.
FLOORS = (
    {"commands": "one file for each command"},
    {
        "pretraining": "models from your own text",
        "course": "hand out, check, grade",
        "study": "baselines and statistics",
        "pages": "results as HTML pages",
    },
    {"runs": "around the training step: resume, several processes, reports"},
    {"fast": "the same results, faster: a twin for each plain class"},
    {"tasks": "one class for each kind of answer: classes, numbers, labels, tags, spans"},
    {"families": "BERT's relatives", "tokenizers": "other ways to cut text"},
    {"model": "the plain model: read these files in the order of their numbers"},
    {"files": "tables and texts → examples", "weights": "a name → a filled model"},
    {"ground": "no torch, no model"},
)
ROOF, MODEL, GROUND = "commands", "model", "ground"
NO_COMMANDS = ("common", "endpoint", "probe_tables", "predict_files", "translator")  # files of commands/ that help
# The model's files in reading order: a row of boxes each; two lines of caption.
ROWS = (
    {
        "tokenizer": ("text → words", "→ pieces → ids"),
        "encoding": ("[CLS] ids [SEP],", "cut and padded"),
        "batch": ("texts side by side", "[B, T]"),
        "config": ("the sizes", "of a model"),
    },
    {
        "embeddings": ("ids → vectors", "[B, T, D]"),
        "attention": ("who looks at", "whom [B, H, T, T]"),
        "encoder": ("layer after layer", "[B, T, D]"),
        "bert": ("embeddings +", "encoder + pooler"),
        "heads": ("classes [B, C] or", "words [B, T, V]"),
    },
    {
        "optimizer": ("AdamW and the", "learning rate"),
        "training": ("loss, gradients,", "one step"),
        "metrics": ("accuracy, F1,", "intervals"),
        "losses": ("what a classifier", "learns by"),
        "probing": ("which word", "comes next"),
    },
    {
        "decoder": ("layers that look", "back only"),
        "generation": ("what a decoder", "writes next"),
        "left_to_right": ("which word comes", "next, by a decoder"),
        "similarity": ("texts → vectors", "[N, D], cosines"),
    },
    {
        "encoder_decoder": ("one stack reads,", "another writes"),
        "search_settings": ("how a model is", "searched"),
        "search": ("which rows go on,", "which are finished"),
        "translation": ("a text → another", "language"),
        "chrf": ("how like the right", "one it is"),
    },
    {
        "token_heads": ("tags [B, T, C],", "answers [B, 2, T]"),
        "windows": ("long texts,", "part by part"),
        "entities": ("tags → names,", "places and others"),
        "answers": ("how much of an", "answer is right"),
    },
)
COLUMNS = 5
GROUND_FILES = (
    *("errors", "format", "atomic", "jsonfile", "config_json", "modules_json"),
    *("added", "cache", "collector", "tokenizer_files", "tokenizer_json", "shell", "shipped", "wording"),
    *("completions", "endpoint", "size", "cost", "published"),
)
NOT_DRAWN = ("__init__", "__main__", "legacy", "moved")  # doors, and the list of public names

WIDTH, LEFT, RIGHT = 960, 118, 842  # the picture; the rooms' edges
GAP, HIGH, BOX, LANE = 24, 58, 62, 26  # between floors; a room; a file's box; between rows of boxes
STYLE = """
  .paper { fill: #fbfaf6 } .wall { fill: #f1eee4; stroke: #8d8775; stroke-width: 1.5 } .roof { fill: #e8d9c9 }
  .room { fill: #ffffff; stroke: #b9b29c } .box { fill: #eaf2fb; stroke: #7ba3cf } .aside { stroke-dasharray: 4 3 }
  .number { fill: #356ba3 } text { fill: #22242a; font-family: Helvetica, Arial, "DejaVu Sans", sans-serif }
  .small { font-size: 12px; fill: #50525a } .name { font-size: 14.5px; font-weight: bold }
  .files { font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 11.5px }
  .import { stroke: #9a9484; stroke-width: 2; fill: none } .head { fill: #9a9484 }
  .wrong { stroke: #d01c1c; stroke-width: 3; fill: none }
  .way { stroke: #d9771a; stroke-width: 4; fill: none; stroke-linejoin: round } .wayhead, .wayword { fill: #c2640c }
  .wayword { font-size: 14px; font-weight: bold }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #16181d } .wall { fill: #20232a; stroke: #6c7180 } .roof { fill: #3a3029 }
    .room { fill: #2a2e37; stroke: #555b6b } .box { fill: #203349; stroke: #4f7fb3 } .number { fill: #8fbdf0 }
    text { fill: #e8e9ec } .small { fill: #b5b9c3 } .import { stroke: #7d8290 } .head { fill: #7d8290 }
    .way { stroke: #f0994a } .wayhead, .wayword { fill: #f5ad6b }
  }
"""


def room_of(file):
    """minbert/fast/linear.py -> "fast"; minbert/bert.py -> "model"; minbert/errors.py -> "ground"."""
    parts = file.relative_to(PACKAGE).parts
    name = parts[0].removesuffix(".py")
    return GROUND if name in GROUND_FILES else name if len(parts) > 1 else MODEL


def imports_of(file):
    """The rooms of the package that a file imports, also inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for words in (name.split(".") for name in names if name.startswith("minbert.")):
            if (PACKAGE / words[1]).is_dir():
                found.add(room_of(PACKAGE / words[1] / "__init__.py"))
            elif (PACKAGE / f"{words[1]}.py").exists():
                found.add(room_of(PACKAGE / f"{words[1]}.py"))
    return found


def read_package():
    """{room: its files in order of their names}, {(importing room, imported room), ...}"""
    rooms, arrows = {}, set()
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.stem == "__init__" and file.parent != PACKAGE:
            rooms.setdefault(room_of(file), []).extend([file.parent.name] if room_of(file) == GROUND else [])
        elif len(file.relative_to(PACKAGE).parts) > 2:  # of a folder within a room, its name alone
            name = f"{file.parent.name}/"
            rooms[room_of(file)] += [name] if name not in rooms[room_of(file)] else []
        elif file.stem not in NOT_DRAWN:
            rooms.setdefault(room_of(file), []).append(file.stem)
        if file.parent != PACKAGE or file.stem not in NOT_DRAWN:
            arrows |= {(room_of(file), other) for other in imports_of(file) if other != room_of(file)}
    captions = {room for floor in FLOORS for room in floor}
    boxes = {name for row in ROWS for name in row}
    missing = sorted(set(rooms) - captions) + sorted(set(rooms[MODEL]) - boxes)
    if missing:
        raise SystemExit(f"docs/house.py has no caption for {', '.join(missing)}: add them to FLOORS or ROWS")
    return rooms, arrows


def needed(arrows, floor):
    """The arrows but those that follow from others: with a -> b -> c nobody needs to see a -> c."""
    return sorted(
        (a, c)
        for a, c in arrows
        if floor[a] > floor[c] or not any((a, b) in arrows and (b, c) in arrows for b in floor if b not in (a, c))
    )


def text(x, y, words, kind, anchor="start"):
    return f'<text x="{x:g}" y="{y:g}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def lines(files, width):
    """The names of files in as many lines as a room of that width needs."""
    return textwrap.wrap(", ".join(files), int((width - 20) / 7))


def rectangle(x, y, width, height, kind, radius=6):
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius}" class="{kind}"/>'


def line(points, kind, head):
    """A line through points, with an arrow's head at its end; the last stretch is upright or level."""
    (x0, y0), (x, y) = points[-2:]
    dx, dy = (x > x0) - (x < x0), (y > y0) - (y < y0)
    size = 9 if head == "wayhead" else 6
    tip = f"{x:g},{y:g} {x - size * dx - size * dy / 1.6:g},{y - size * dy - size * dx / 1.6:g} "
    tip += f"{x - size * dx + size * dy / 1.6:g},{y - size * dy + size * dx / 1.6:g}"
    points = [*points[:-1], (x - size * dx * 0.8, y - size * dy * 0.8)]
    path = " ".join(f"{a:g},{b:g}" for a, b in points)
    return f'<polyline points="{path}" class="{kind}"/><polygon points="{tip}" class="{head}"/>'


def draw():
    """The picture as text."""
    rooms, arrows = read_package()
    floors = [[room for room in floor if room in rooms] for floor in FLOORS]
    floors = [floor for floor in floors if floor]
    captions = {room: words for floor in FLOORS for room, words in floor.items()}
    parts, place, y = [], {}, 118  # place: {room: (x, y, width, height)}
    rows = [{name: words for name, words in row.items() if name in rooms[MODEL]} for row in ROWS]
    boxes, number, column = {}, 0, (RIGHT - LEFT - 28 - (COLUMNS - 1) * 14) / COLUMNS
    for floor in floors:
        if floor == [ROOF]:
            place[ROOF] = (LEFT, 40, RIGHT - LEFT, 60)
            continue
        height = {MODEL: 34 + len(rows) * BOX + (len(rows) - 1) * LANE + 26, GROUND: HIGH + 16}.get(floor[0], HIGH)
        lengths = {room: min(max(len(" · ".join(rooms[room])), 44), 120) for room in floor}
        x, share = LEFT, (RIGHT - LEFT - 14 * (len(floor) - 1)) / sum(lengths.values())
        widths = {room: length * share for room, length in lengths.items()}
        if floor[0] not in (MODEL, GROUND):
            height += 16 * (max(len(lines(rooms[room], widths[room])) for room in floor) - 1)
        for room in floor:
            place[room] = (x, y, widths[room], height)
            x += widths[room] + 14
        y += height + GAP
    bottom = y - GAP + 14
    wall = f"{LEFT - 34},{bottom} {LEFT - 34},100 {RIGHT + 34},100 {RIGHT + 34},{bottom}"
    parts += [f'<polygon points="{wall}" class="wall"/>']
    parts += [f'<polygon points="{LEFT - 62},100 {WIDTH / 2},8 {RIGHT + 62},100" class="wall roof"/>']
    for room, (x, top, width, height) in place.items():
        files = [file for file in rooms[room] if file not in NO_COMMANDS and not file.startswith("study_")]
        if room == ROOF:
            half = len(files) // 2
            parts += [text(WIDTH / 2, 42, "commands/", "name", "middle")]
            parts += [text(WIDTH / 2, 59, captions[room], "small", "middle")]
            parts += [text(WIDTH / 2, 77, "minbert " + " · ".join(files[:half]), "files", "middle")]
            parts += [text(WIDTH / 2, 93, " · ".join(files[half:]), "files", "middle")]
            continue
        parts += [rectangle(x, top, width, height, "room")]
        if room == MODEL:
            parts += [text(x + 14, top + 22, "the model", "name"), text(x + 108, top + 22, captions[room], "small")]
            for depth, row in enumerate(rows):
                for at, (name, words) in enumerate(row.items()):
                    number += 1
                    at = COLUMNS - 1 if name == "probing" else at
                    left, high = x + 14 + at * (column + 14), top + 34 + depth * (BOX + LANE)
                    boxes[name] = (left, high)
                    aside = " aside" if name in ("config", "optimizer") else ""
                    parts += [rectangle(left, high, column, BOX, f"box{aside}")]
                    parts += [f'<text x="{left + 9:g}" y="{high + 20:g}" class="name">']
                    parts[-1] += f'<tspan class="number">{number}</tspan> {name}</text>'
                    parts += [text(left + 9, high + 38 + 15 * i, line_, "small") for i, line_ in enumerate(words)]
        else:
            name = "the ground" if room == GROUND else f"{room}/"
            parts += [text(x + 12, top + 21, name, "name")]
            beside = x + 12 + 9 * len(name) + 9
            parts += [text(beside, top + 21, captions[room], "small")]
            parts += [text(x + 12, top + 43 + 16 * i, line_, "files") for i, line_ in enumerate(lines(files, width))]

    floor_of = {room: depth for depth, floor in enumerate(floors) for room in floor}
    drawn, skips = needed(arrows, floor_of), 0
    for above, below in drawn:
        (x1, top1, width1, height1), (x2, top2, width2, _) = place[above], place[below]
        if floor_of[above] >= floor_of[below]:
            parts += [line([(x1 + 6, top1 + 20), (x2 + 6, top2 + 20)], "wrong", "head")]
        elif floor_of[below] == floor_of[above] + 1 or (above == ROOF and floor_of[below] == 1):
            x = min(max(x1, x2) + min(width1, width2) / 2, x1 + width1 - 20, x2 + width2 - 20)
            parts += [line([(x, top1 + height1), (x, top2)], "import", "head")]
        else:  # past the floors between, beside the rooms
            skips += 1
            left = x2 < WIDTH / 2 - 1 and x2 + width2 < RIGHT
            gutter = LEFT - 8 * skips if left else RIGHT + 8 * skips
            edge1, edge2 = (x1, x2) if left else (x1 + width1, x2 + width2)
            start, end = top1 + height1 - 12, top2 + 12
            begin = [(gutter, 100)] if above == ROOF else [(edge1, start), (gutter, start)]
            parts += [line([*begin, (gutter, end), (edge2, end)], "import", "head")]
    parts += way(place, boxes, column)
    below = bottom + 27
    parts += [line([(LEFT, below - 4), (LEFT + 44, below - 4)], "way", "wayhead")]
    parts += [text(LEFT + 54, below, "the way of a text", "small")]
    parts += [line([(LEFT + 226, below - 12), (LEFT + 226, below + 4)], "import", "head")]
    parts += [text(LEFT + 238, below, "imports: only downwards", "small")]
    if any(floor_of[above] >= floor_of[under] for above, under in drawn):
        parts += [text(RIGHT, below, "red: an import that breaks this rule", "small", "end")]
    letters = "B texts · T tokens in a text · D numbers for a token · H heads · C classes · V words"
    parts += [text(LEFT, below + 24, letters, "small")]
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 66:g}" role="img">\n'
        f"<title>The rooms of minbert, and the way of a text through its files</title>\n<style>{STYLE}</style>\n"
        f"{rectangle(0, 0, WIDTH, bottom + 66, 'paper', 10)}\n{body}\n</svg>\n"
    )


def way(place, boxes, column):
    """The way of a text: files -> tokenizer -> ... -> heads -> training -> metrics -> runs."""
    middle = {name: (x + column / 2, y) for name, (x, y) in boxes.items()}
    x, y, _, high = place["files"]
    left, door = LEFT - 20, y + high / 2
    row = boxes["tokenizer"][1] + BOX / 2
    parts = [text(6, door - 12, "your texts", "wayword"), line([(8, door), (x, door)], "way", "wayhead")]
    parts += [
        line(
            [(x + 40, y), (x + 40, y - 12), (left, y - 12), (left, row), (boxes["tokenizer"][0], row)], "way", "wayhead"
        )
    ]
    for row in ROWS[:2]:
        names = [name for name in row if name in boxes and name != "config"]
        for one, two in itertools.pairwise(names):
            (a, top), (b, _) = boxes[one], boxes[two]
            parts += [line([(a + column, top + BOX / 2), (b, top + BOX / 2)], "way", "wayhead")]
    for one, two in (("batch", "embeddings"), ("heads", "training")):
        (a, high), (b, low) = middle[one], middle[two]
        parts += [line([(a, high + BOX), (a, low - 15), (b, low - 15), (b, low)], "way", "wayhead")]
    (a, high), (_, low) = middle["heads"], middle["probing"]
    parts += [line([(a, high + BOX), (a, low)], "way", "wayhead")]
    (a, high), (b, _) = boxes["training"], boxes["metrics"]
    parts += [line([(a + column, high + BOX / 2), (b, high + BOX / 2)], "way", "wayhead")]
    a, high = middle["metrics"]
    x, y, width, tall = place["runs"]
    gutter, lane, out = RIGHT + 20, high + BOX + 14, y + tall / 2
    parts += [
        line([(a, high + BOX), (a, lane), (gutter, lane), (gutter, out + 12), (x + width, out + 12)], "way", "wayhead")
    ]
    parts += [line([(x + width, out - 12), (WIDTH - 8, out - 12)], "way", "wayhead")]
    parts += [
        text(WIDTH - 8, out - 46, "scores,", "wayword", "end"),
        text(WIDTH - 8, out - 29, "predictions", "wayword", "end"),
    ]
    return parts


def main():
    picture = draw()
    if "--check" in sys.argv[1:]:
        return PICTURE.read_text(encoding="utf-8") != picture
    PICTURE.write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
