"""The table of all results in docs/speed.md, a part for each processor."""

from pathlib import Path

from bench.measure import heading, records, rounded, table

PAGE = Path(__file__).parent.parent / "docs" / "speed.md"
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
        return (begin, system, "not installed", "", "", "", "", "")
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
    return f"{row['seconds']:.1f} s in all" if row["seconds"] > 0.1 else f"{1000 * row['seconds']:.1f} ms in all"


def page():
    """The tables of all results there are, in Markdown, each below a line that names the processor."""
    parts = []
    for found in records().values():
        found, lines = [found[name] for name in ORDER if name in found], []
        if not found:
            continue
        for record in found:
            last = None
            for row in record["rows"]:
                lines.append(cells(row, record["rows"], row["work"] != last))
                last = row["work"]
        versions = [
            ", ".join(f"{name} {version}" for name, version in record["machine"]["versions"].items() if name in SHOWN)
            for record in found
        ]
        begin = f"### {heading(found[0]['machine'])}\n\nMeasured with {'; '.join(dict.fromkeys(versions))}."
        parts.append(f"{begin}\n\n{table(HEADER, lines)}")
    return "\n\n".join(parts)


def write():
    """Write the tables into docs/speed.md."""
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    PAGE.write_text(f"{before}{begin}\n{page()}\n{MARKS[1]}{after}", encoding="utf-8")
