"""What is checked before a training: rows that are refused, and data worth a warning."""

from minbert.errors import UserError


def refuse_bad_rows(examples, skip=False, most=20):
    """Raise UserError with the rows that are no examples; with skip=True return that list as text instead.

    Every row of the file is either an example or in the list.
    """
    problems = examples.problems
    if not problems:
        return ""
    rows = [f"  {examples.path}:{line}: {reason}" for line, reason in problems[:most]]
    if len(problems) > most:
        rows.append(f"  ... and {len(problems) - most} more")
    total = len(problems) + len(examples.texts)
    listing = "\n".join([f"{examples.path}: {len(problems)} bad of {total} rows", *rows])
    if not skip:
        raise UserError(f"{listing}\nNothing was trained. Fix these rows, or leave them out with --skip_bad_rows.")
    if not examples.texts:
        raise UserError(f"{listing}\nNo row is left.")
    return listing


def data_warnings(files, ids, names):
    """What is worth a warning before an hour is spent; files and ids: {"train": Examples}, {"train": classes by row}.

    Returns sentences.
    """
    found = []
    train = ids.get("train", [])
    if train and len(set(train)) == 1:
        found.append(f"every row of {files['train'].path} is labelled {names[train[0]]}: there is nothing to learn")
    elif train and len(set(train)) < len(names):
        absent = [name for id, name in enumerate(names) if id not in set(train)]
        found.append(f"no row of {files['train'].path} is labelled {', '.join(absent)}")
    for part in ("dev", "test"):
        if len(names) > 1 and len(ids.get(part, [])) > 1 and len(set(ids[part])) == 1:
            label = names[ids[part][0]]
            found.append(
                f"every row of {files[part].path} is labelled {label}: placeholders? Scores on it mean nothing"
            )
    return found + shared_rows(files)


def shared_rows(files):
    """Sentences about the rows of dev and test that are in the training file, too."""
    found = []
    seen = set(contents(files["train"])) if "train" in files else set()
    for part in ("dev", "test"):
        if part in files:
            shared = sum(content in seen for content in contents(files[part]))
            if shared:
                what = "pairs" if files[part].pairs else "texts"
                found.append(
                    f"{shared} of {len(files[part].texts)} {what} of {files[part].path} are in the training file too"
                )
    return found


def contents(examples):
    """What each row is compared by: its text, or its two texts in either order."""
    if not examples.pairs:
        return [normalise(text) for text in examples.texts]
    return [tuple(sorted(map(normalise, pair))) for pair in zip(examples.texts, examples.pairs)]


def normalise(text):
    return " ".join(text.lower().split())
