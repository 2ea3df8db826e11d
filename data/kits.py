"""Write the reviews in the form of the course kits, a line each: `label ||| text`, 0 for negative and 1 for positive.

    python data/kits.py FOLDER        writes reviews-train.txt, reviews-dev.txt and reviews-test.txt there

Files of these names are replaced. The form has no place for topic and kind, and none for a line break or `|||` in a
text. Such a text, an empty text and any other label are refused, and then nothing is written.
"""

import argparse
import csv
from pathlib import Path

REVIEWS = Path(__file__).parent / "reviews"
LABELS = {"negative": 0, "positive": 1}


def lines(path):
    """A table of reviews -> its lines in the course kits' form. Raises SystemExit for a row that has none."""
    found = []
    with open(path, encoding="utf-8", newline="") as file:
        for row in (rows := csv.DictReader(file)):
            text, label = row["text"].strip(), row["label"]
            if "|||" in text or len(text.splitlines()) != 1:
                raise SystemExit(f"{path}:{rows.line_num}: the text is empty, or holds ||| or a line break: {text!r}")
            if label not in LABELS:
                raise SystemExit(f"{path}:{rows.line_num}: label {label!r} is not one of: {', '.join(LABELS)}")
            found.append(f"{LABELS[label]} ||| {text}\n")
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="made if it is not there")
    folder = parser.parse_args(arguments).folder
    files = {f"reviews-{part}.txt": lines(REVIEWS / f"{part}.csv") for part in ("train", "dev", "test")}
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in files.items():
        (folder / name).write_text("".join(found), encoding="utf-8", newline="\n")
        print(f"{folder / name}: {len(found)} rows")


if __name__ == "__main__":
    main()
