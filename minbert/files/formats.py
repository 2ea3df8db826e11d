"""Which form a file has, and the columns that are looked for where nobody names them."""

from minbert.errors import UserError
from minbert.files.labels import is_number
from minbert.files.table import delimiter_of

FORMATS = ("pipes", "table", "label-last", "lines")
TEXT_COLUMNS = ("text", "sentence", "review", "tweet", "comment", "content", "message", "document", "headline")
LABEL_COLUMNS = ("label", "labels", "sentiment", "class", "category", "stance", "emotion", "rating", "target")


def recognise(path, lines, text_column=None, label_column=None, labels_required=True):
    """The format of a file, from its name and its first lines. Where no labels are required, plain texts are lines."""
    if labels_path(path) and labels_path(path).exists():
        return "lines"
    some = [line for line in lines if line.strip()][:20]
    header = some[0]
    cells = {cell.strip(' "').lower() for cell in header.split(delimiter_of(header))}
    if "|||" not in header and (text_column or label_column or (cells & set(TEXT_COLUMNS) and len(cells) > 1)):
        return "table"
    if any("|||" in line for line in some):
        return "pipes"
    labels = [line.rpartition("\t")[2].strip() for line in some]
    if 2 * sum(line.count("\t") == 1 and len(label) <= 40 for line, label in zip(some, labels)) > len(some):
        named = len(labels) > 1 and not is_number(labels[0]) and all(map(is_number, labels[1:]))
        return "table" if named else "label-last"  # a word above numbers is a column's name
    if path.name.removesuffix(".gz").endswith((".csv", ".tsv")):
        return "table"  # of columns that have to be named
    if not labels_required:
        return "lines"
    raise UserError(
        f"{path}: the format was not recognised; the first line is {header!r:.80}. Known are: label ||| text; "
        "CSV or TSV with a header (name its columns with --text_column and --label_column); text, a tab, label; "
        "NAME_text.txt beside NAME_labels.txt"
    )


def labels_path(path):
    """train_text.txt -> train_labels.txt beside it; None for any other name."""
    plain = path.name.removesuffix(".gz")
    if not plain.endswith("_text.txt"):
        return None
    return path.with_name(plain.removesuffix("_text.txt") + "_labels.txt" + path.name.removeprefix(plain))
