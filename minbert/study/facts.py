"""study.json: what a study depends on. A folder goes on with the same study alone, and says what is another now."""

import json
from pathlib import Path

from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.format import FORMAT, KEY, check_format
from minbert.jsonfile import read_json

NAMES = {  # of facts that are not called as their flag is
    "labels": "the classes",
    "label": "--label_columns",
    "cuts": "--lexicon_cuts",
    "words": "the word list",
}
PACKAGES = ("minbert", "numpy", "scikit-learn", "scipy", "torch", "xgboost")


def refuse_other(path: Path, facts: dict, own: dict) -> dict:
    """What study.json holds, {} if it is not there. Raises UserError, with what is another now.

    facts  of all systems; only those are compared that both have
    own    {system: what it depends on besides}
    """
    if not path.exists():
        return {}
    began = read_json(path)
    check_format(path, began)
    before = began.get("facts", {})
    both = before.keys() & facts.keys()
    changed = changes(*({name: side[name] for name in facts if name in both} for side in (before, facts)))
    for system, known in began.get("systems", {}).items():
        changed += [f"{system}: {each}" for each in changes(known, own.get(system, known))]
    if changed:
        raise UserError(f"{path.parent} holds another study: {'; '.join(changed)}. Put it back, or name another --out")
    return began


def begin(path: Path, facts: dict, own: dict) -> None:
    """Write what a study and its systems depend on; keep what is known of other systems. Raises as `refuse_other`."""
    began = refuse_other(path, facts, own)
    more = {name: value for name, value in began.items() if name not in (KEY, "facts", "systems")}
    record(path, facts, {"systems": began.get("systems", {}) | own, **more})


def record(path: Path, facts: dict, more: dict) -> None:
    """Write study.json: the facts, and what else is to be kept."""
    with atomic_write(path) as new:
        text = json.dumps({KEY: FORMAT, "facts": facts} | more, indent=2, ensure_ascii=False)
        new.write_text(text + "\n", encoding="utf-8")


def changes(before: dict, now: dict) -> list[str]:
    """What differs in `now`: ['--tune is 5, and was 0']"""
    now = json.loads(json.dumps(now))
    names = {**before, **now}
    return [difference(name, before.get(name), now.get(name)) for name in names if before.get(name) != now.get(name)]


def difference(name: str, before, now) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        return " and ".join(changes(before, now))
    if name == "folds":
        return "the folds are others, as the texts, their groups, the seed or --folds_file are"
    if name == "data":
        if before[0] != now[0]:
            return "--data is another file, or has changed"
        name, before, now = "limit", before[1], now[1]
    flag = NAMES.get(name, name if name in PACKAGES or "." in name else f"--{name}")
    if isinstance(before, bool):
        return f"{flag}: the folder was made {'with it' if before else 'without'}"
    if any(isinstance(each, dict) or len(str(each)) == 64 for each in (before, now)):  # a hash tells nobody anything
        return f"{flag} is another"
    before, now = (", ".join(map(str, each)) if isinstance(each, list) else each for each in (before, now))
    return f"{flag} is {'not given' if now is None else now}, and was {'not given' if before is None else before}"
