"""The tables of all results in docs/speed.md, a part for each processor; and a short one in README.md."""

import re
import textwrap
from pathlib import Path

from bench import scale
from bench.measure import heading, records, rounded, table

ROOT = Path(__file__).parent.parent
PAGE, README = ROOT / "docs" / "speed.md", ROOT / "README.md"
MARKS = "<!-- made by python -m bench: -->", "<!-- until here -->"
ORDER = ("tokenize", "bpe", "unigram", "predict", "latency", "whole", "train", "frozen", "generate", "search")
HEADER = [
    "work",
    "system",
    "per second",
    "ratio",
    "to the strongest peer",
    "with tokenizing",
    "of the peak",
    "MB at most",
]
SHOWN = ("minbert", "torch")  # versions
GROUPS = (  # works that belong together: a title, which works, the system that is compared
    ("predict, pooler", "predict (.*), pooler", "minbert"),
    ("predict, mean", "predict (.*), mean", "minbert"),
    ("predict in 8 bits, pooler", "predict (.*), pooler", "minbert, int8"),
    ("predict in 8 bits, mean", "predict (.*), mean", "minbert, int8"),
    ("one sentence at a time", "one sentence at a time, (.*)", "minbert"),
    ("whole process", "(.*), whole process", "minbert"),
    ("train", "train ((?!frozen).*)", "minbert"),
    ("tokenize, words are new", "tokenize, (.*)", "minbert, cold"),
    ("tokenize, words are known", "tokenize, (.*)", "minbert, warm"),
    ("learnt tokenizers, words are new", "(byte-level BPE|unigram, .*)", "minbert, cold"),
    ("learnt tokenizers, words are known", "(byte-level BPE|unigram, .*)", "minbert, warm"),
    ("write", "(generate, .*|beam search, .*)", "minbert"),
)
FEW = 3  # works of a group that README.md names one by one
WIDTH = max(len(title) for title, *_ in GROUPS)
ALIKE = 0.99  # a tokenizer that gives other ids to more of the texts is no peer that a ratio can be of


def speed(row, with_tokenizing=False):
    """How much of its work a system does in a second; of one with seconds, how often it does it in a second."""
    if with_tokenizing:
        return row["with_tokenizing_per_second"]
    return row.get("bytes_per_second") or row.get("tokens_per_second") or 1 / row["seconds"]


def strongest(row, others, with_tokenizing=False):
    """The fastest peer at a row's work, and how many times its speed the row has.

    A row in 8 bits is compared with peers in 8 bits, any other row with peers in float32.
    """
    peers = [
        other
        for other in others
        if other["work"] == row["work"]
        and not other["system"].startswith("minbert")
        and ("int8" in other["system"]) == ("int8" in row["system"])
        and not other.get("missing")
        and other.get("others", 0) <= (1 - ALIKE) * other.get("texts", 0)
        and (not with_tokenizing or "with_tokenizing_per_second" in other)
    ]
    if not peers:
        return None
    best = max(peers, key=lambda other: speed(other, with_tokenizing))
    ratio = None if with_tokenizing else row.get("times_the_peer")
    return best["system"], ratio or speed(row, with_tokenizing) / speed(best, with_tokenizing)


def cells(row, others, new):
    """A result as a row of the table. others: the rows beside it; new: whether the work is named."""
    begin, system = (row["work"] if new else "", row["system"])
    if row.get("missing"):
        return (begin, system, "not to be had here", "", "", "", "", "")
    if row.get("others") is not None and not system.startswith("minbert"):
        system += f" (other ids in {row['others']:,} of {row['texts']:,} texts)"
    peer, with_tokenizing = strongest(row, others), ""
    if "with_tokenizing_per_second" in row:
        with_tokenizing = f"{rounded(row['with_tokenizing_per_second'])} tokens"
        beside = strongest(row, others, True)
        if beside and row["system"].startswith("minbert"):
            with_tokenizing += f", {beside[1]:.2f} of {beside[0]}"
    ratio = f"{peer[1]:.2f}" if peer else ""
    versus = peer[0] if peer and row["system"].startswith("minbert") else ""
    share = f"{100 * row['of_peak']:.0f} %" if "of_peak" in row else ""
    return (begin, system, done(row), ratio, versus, with_tokenizing, share, rounded(row["peak_mb"]))


def done(row):
    """What a system does in a second, or how long it takes."""
    if "bytes_per_second" in row:
        return f"{row['bytes_per_second'] / 1e6:.1f} MB"
    if "tokens_per_second" in row:
        return f"{rounded(row['tokens_per_second'])} tokens"
    return f"{row['seconds']:.2f} s in all" if row["seconds"] > 0.1 else f"{1000 * row['seconds']:.1f} ms"


def benches(found):
    """The records of a processor, in the order of the page."""
    return [found[name] for name in ORDER if name in found]


def begin(records):
    """What the records of a processor are of."""
    versions = {
        ", ".join(f"{name} {version}" for name, version in record["machine"]["versions"].items() if name in SHOWN): None
        for record in records
    }
    return f"{heading(records[0]['machine'])}; {'; '.join(versions)}"


def ratios(records):
    """(title, [(work, peer, ratio), ...]) for each of GROUPS that there are results of."""
    for title, pattern, system in GROUPS:
        found = []
        for record in records:
            for row in record["rows"]:
                match, peer = re.fullmatch(pattern, row["work"]), strongest(row, record["rows"])
                if match and peer and row["system"] == system:
                    found.append((match[1], *peer))
        if found:
            yield title, found


def short():
    """How many times the speed of the strongest peer, which is named, we have: a screen for all processors."""
    lines = []
    for found in filter(None, map(benches, records().values())):
        lines.append(begin(found))
        for title, works in ratios(found):
            told = "; ".join(f"{work} {ratio:.2f} ({peer})" for work, peer, ratio in works)
            if len(works) > FEW:
                worst, best = (end(ratio for *_, ratio in works) for end in (min, max))
                peers = ", ".join(dict.fromkeys(peer for _, peer, _ in works))
                told = f"{worst:.2f} to {best:.2f} in {len(works)} works ({peers})"
            lines += textwrap.wrap(f"  {title:{WIDTH}} {told}", 118, subsequent_indent=" " * (WIDTH + 3))
    return "\n".join(["```text", *lines, "```"])


def page():
    """The tables of all results there are, in Markdown, each below the name of its processor."""
    parts = []
    for every in records().values():
        found, lines = benches(every), []
        for record in found:
            last = None
            for row in record["rows"]:
                lines.append(cells(row, record["rows"], row["work"] != last))
                last = row["work"]
        if found:
            parts += [f"### {begin(found)}", behind(found), table(HEADER, lines)]
            parts += [accuracy(record["int8"]) for record in found if "int8" in record]
        if "scale" in every:
            parts.append(scale.tables(every["scale"]["rows"]))
        if "memory" in every:
            parts.append(scale.growth(every["memory"]["rows"]))
    return "\n\n".join(parts)


def behind(records):
    """Where the strongest peer is faster, by name: a list in Markdown."""
    lines = []
    for title, works in ratios(records):
        if slower := [f"{work} ({ratio:.2f} of {peer})" for work, peer, ratio in works if ratio < 1]:
            lines.append(f"- {title}: {'; '.join(slower)}")
    return "\n".join(["Slower than the strongest peer:", "", *(lines or ["- nothing in these tables"])])


def accuracy(found):
    """What 8 bits cost."""
    shares = [f"{100 * found[precision]:.1f}" for precision in ("int8", "fp32")]
    return f"Accuracy on the dev set of SST-5, frozen encoder: {shares[0]} percent in 8 bits, {shares[1]} in float32."


def write():
    """Write the tables into docs/speed.md and README.md."""
    for path, text in ((PAGE, page()), (README, short())):
        before, begin, rest = path.read_text(encoding="utf-8").partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        path.write_text(f"{before}{begin}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")
