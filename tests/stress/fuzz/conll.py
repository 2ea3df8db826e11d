"""CoNLL files, spoilt in every way: each line is a word of a sentence, or reported, or part of a sentence left out.

What read_conll says is compared with what the spoilt bytes say, sentence by sentence, without its code.
"""

import gzip
import re
import zlib
from collections import Counter
from functools import partial

from minbert.errors import UserError
from minbert.files import conll
from tests.stress.fuzz.checkpoints import judge, rounds
from tests.stress.fuzz.readers import SPOIL as OF_TABLES
from tests.stress.fuzz.readers import as_utf8, fault, insert, lines_of, of_lines

WORDS = [
    "EU",
    "rejects",
    "O",
    "#",
    "-",
    "é",
    "中",
    "\u2028",
    "\x85",
    "\xa0",
    "😀",
    "a\u200db",
    '"',
    "B-PER",
    "-X-",
    "\ufeff",
]
TAGS = ["O", "O", "O", "B-ORG", "I-ORG", "E-ORG", "S-PER", "L-PER", "U-A-B", "B", "I", "B-é"]
COMMENTS = ["# id 7", "# text = EU rejects", "#", "# O", "# "]


def make(rng):
    """A file of six sentences, with one to four columns."""
    columns, separator = rng.choice([1, 2, 2, 2, 3, 4]), rng.choice([" ", " ", "\t", "   ", " \t"])
    lines = []
    for _ in range(6):
        if rng.random() < 0.2:
            lines.append(rng.choice([separator.join(["-DOCSTART-", *["O"] * (columns - 1)]), *COMMENTS]))
        for _ in range(rng.randrange(1, 5)):
            tag = [] if columns == 1 else [rng.choice(TAGS)]
            lines.append(separator.join([rng.choice(WORDS), *["NN"] * (columns - 2), *tag]))
        lines += [""] * rng.choice([1, 1, 1, 2])
    return "\n".join(lines).encode() + rng.choice([b"", b"\n", b"\n\n"])


def spoil_a_tag(rng, lines, where):
    new = rng.choice([b"b-ORG", b"B-", b"X-ORG", b"B_ORG", b"0", b"", b"B-\x1b[2J", b"O O", b"B-" + b"x" * 99])
    lines[where] = re.sub(rb"[^ \t]+$", lambda _: new, lines[where])


def replace_a_line(rng, lines, where):
    lines[where] = rng.choice([b"-DOCSTART-", b" ", b"\t", b"# x", b"\t\tO", b" a O ", b"a  b\tO", b"\xc2\x85", b"x"])


SPOIL = {name: spoil for name, spoil in OF_TABLES.items() if name not in ("a column renamed", "an empty label")}
SPOIL |= {
    "a tag": of_lines(spoil_a_tag),
    "a line replaced": of_lines(replace_a_line),
    "a blank": insert(b" ", b"\t", b"  ", "\xa0".encode()),
    "nothing": lambda rng, data: data,
}


def expect(data):
    """What the bytes say: ([(line, word, tag), ...] of each sentence, {line of a bad row: how its reason begins}, good
    rows left out, columns of the first row that can be read or None)."""
    raw, lines = lines_of(data)
    blocks, width = [[]], None
    for number, (line, bytes_of) in enumerate(zip(lines, raw), start=1):
        cells = re.split("\t" if "\t" in line.strip(" ") else " +", line.strip(" "))
        cells, why = [cell.strip(" ") for cell in cells], fault(bytes_of)
        if not why and (not line.strip() or cells[0] == "-DOCSTART-"):
            blocks.append([])
        elif why or blocks[-1] or line[:2] != "# " or tagged(cells[-1]):
            width = width or (None if why else len(cells))
            blocks[-1].append((number, cells, why or complaint(line, cells, width)))
    rows = [row for block in blocks for row in block]
    good = [block for block in blocks if block and not any(why for *_, why in block)]
    sentences = [[(number, cells[0], cells[-1]) for number, cells, _ in block] for block in good]
    problems = {number: why for number, _, why in rows if why}
    return sentences, problems, len(rows) - len(problems) - sum(map(len, good)), width


def tagged(text):
    letter, dash, kind = text[:1], text[1:2], text[2:]
    return text == "O" or (
        letter in tuple("BIESLU") and (not dash or (dash == "-" and kind != "" and "\n" not in kind))
    )


def complaint(line, cells, width):
    if len(line) > 10_000:
        return "longer than 10,000 characters"
    if len(cells) != width:
        return f"ragged row: {len(cells)} columns, but the first row has {width}"
    if not cells[0]:
        return "no word in the first column"
    return None if width == 1 or tagged(cells[-1]) else f"{cells[-1]!r:.40} is no tag"


REFUSALS = {  # how a refusal goes on: whether it is right of what `expect` found
    ": the file is empty": lambda found: found == ([], {}, 0, None),
    ": holds no sentence": lambda found: found == ([], {}, 0, None),
    ": each line should be a word, and its tag in the last column": lambda found: found[-1] == 1,
}


def check(path, data, tags_required):
    """Read a file, and compare; raises what read_conll raises, and AssertionError."""
    content = unpacked(data)
    expected = None if content is None else expect(content)
    try:
        found = conll.read_conll(path, tags_required=tags_required)
    except UserError as error:
        why = next((why for why in REFUSALS if why in str(error)), None)
        assert (why and REFUSALS[why](expected)) or expected is None or b"\x1f\x8b" in data, f"refused: {error}"
        raise
    assert expected is not None, "read, but cannot be unpacked or decoded"
    sentences, problems, left_out, width = expected
    assert not (width == 1 and tags_required and (sentences or left_out)), "read, but without tags"
    tags = found.tags if width != 1 else found.words
    rows = [list(zip(*sentence)) for sentence in zip(found.lines, found.words, tags, strict=True)]
    assert rows == sentences, f"read {rows}, not {sentences}"
    assert found.labelled == (width != 1 and bool(sentences))
    assert found.left_out == left_out, f"{found.left_out} rows left out, not {left_out}"
    told = dict(found.problems)
    assert list(told) == list(problems) and len(told) == len(found.problems), f"reported {told}, not {problems}"
    assert all(told[line].startswith(why) and told[line].isprintable() for line, why in problems.items()), told
    check_tags(found)
    return "read" if not problems else "read, rows reported"


def unpacked(data):
    """The bytes of a file as UTF-8; None if it cannot be unpacked or decoded."""
    try:
        return as_utf8(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (OSError, EOFError, ValueError, zlib.error):
        return None


def check_tags(found):
    """The names of tags begin with O; sentences with other tags than half of them are reported word by word."""
    names = conll.tag_names(found)
    assert names[0] == "O" and sorted(names[1:]) == sorted({tag for tags in found.tags for tag in tags} - {"O"})
    known, before, reported = set(names[::2]), found.left_out, len(found.problems)
    words = sum(map(len, found.words))
    unknown = sum(tag not in known for tags in found.tags for tag in tags)
    conll.refuse_unknown_tags(found, known)
    assert all(tag in known for tags in found.tags for tag in tags), "a tag that is not known"
    assert len(found.problems) - reported == unknown, "a tag of which nothing is said"
    assert words - sum(map(len, found.words)) == unknown + found.left_out - before, "a word is lost"


def fuzz(count, rng, folder):
    """count files of tagged words."""
    outcomes, path = Counter(), folder / "some.conll"
    for number, dice in rounds(count, rng):
        data, spoilt = make(dice), dice.choices(list(SPOIL), k=dice.choice([1, 1, 2, 3]))
        for name in spoilt:
            data = SPOIL[name](dice, data)
        path.write_bytes(data)
        outcome = judge(number, folder, partial(check, path, data, dice.random() < 0.8), path.name)
        outcomes[outcome + f" (spoilt by {spoilt})" * outcome.startswith("fault")] += 1
    return outcomes


FUZZERS = {"conll": fuzz}
