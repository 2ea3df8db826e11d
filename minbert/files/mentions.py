"""Mentions and links in tweets, written as the models of Barbieri et al. (2022), XLM-T, read them: @user and http.

Whether a classifier learnt from such texts stands in its folder, in texts.json, so that its later texts are changed
in the same way.
"""

import json
from pathlib import Path

from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.format import FORMAT, KEY
from minbert.jsonfile import quoted, read_json

FILE = "texts.json"


def replace_mentions(text: str) -> str:
    """'@jo  see https://t.co/x @' -> '@user  see http @'. Words stand between single spaces, and spaces stay."""
    return " ".join(map(replace_mention, text.split(" ")))


def replace_mention(word: str) -> str:
    if word.startswith("@") and len(word) > 1:
        return "@user"
    return "http" if word.startswith("http") else word


def record(folder: str | Path, replaced: bool) -> None:
    """Write into the folder of a trained model whether its texts were changed. Without a file they were not."""
    path = Path(folder, FILE)
    if not replaced:
        path.unlink(missing_ok=True)
        return
    with atomic_write(path) as new:
        new.write_text(json.dumps({KEY: FORMAT, "tweets": True}, indent=2) + "\n", encoding="utf-8")


def recorded(folder: str | Path) -> bool | None:
    """What a model's folder says of the texts that it learnt from; None: nothing, minbert did not train it.

    Raises UserError for a damaged file.
    """
    path = Path(folder, FILE)
    if not path.exists():
        return False if Path(folder, "run.json").exists() else None
    if (value := read_json(path).get("tweets")) is not True:
        raise UserError(f"{path}: tweets is {quoted(value)}, but only true is supported")
    return True


def choose(name: str, folder: str | Path, asked: bool, learns: bool = False) -> tuple[bool, str]:
    """Whether texts are to be changed for the model called name, and a note if its folder decides that.

    asked   whether --tweets was given
    learns  the model is trained on these texts, and may be another than before
    Raises UserError where --tweets contradicts what the model learnt from.
    """
    known = recorded(folder)
    if known is False and asked and not learns:
        raise UserError(f"--tweets: {name} learnt from texts with all names and links: leave --tweets out")
    if known and not asked:
        return True, f"{name} learnt from tweets with @user and http for names and links: the texts are changed so"
    return asked, ""
