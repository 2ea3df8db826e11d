"""Name a mistake: only if its own wrong output is reproduced on every probe, and no other known mistake's is.

A known mistake is given by what it computes on the probes, never by its code. Needs numpy only.
"""

import itertools
from dataclasses import dataclass

from minbert.course.compare import difference, form, tolerance

RAISED = "raised"  # as in minbert.course.probes
OPTION = "option: "  # in the name of a probe or stage: what only some branch of the code does
# Functions that others call. Asked alone, they can be right, and the mistake stands where they should be called.
CALLED = {
    *("attention_scores", "split", "merge", "gelu", "gelu_tanh", "FeedForward", "BertModel.pool", "features"),
    *("BertSentClassifier.pool", "batch_loss", "update", "clip", "set_rate", "in_order", "MaskedLMHead"),
    *("BertForMaskedLM.predict", "answers", "top_tokens"),
}
MOST_PAIRS = 300


@dataclass(frozen=True)
class Name:
    """What is known about a failure.

    kind      "right": nothing is wrong; "known": one mistake; "one of": two or three that act the same here;
              "two": two mistakes, each in probes of its own; "not known"
    mistakes  their names; of two, the second can be "something else in `an option`": it has no name
    """

    kind: str
    mistakes: tuple[str, ...] = ()

    def __str__(self):
        joint = {"one of": "; or ", "two": "; and "}.get(self.kind, "; ")
        return joint.join(self.mistakes)


def wrong_parts(outputs: dict[str, dict], expected: dict[str, dict]) -> dict[str, dict]:
    """Of a mistake's outputs what is not as expected: {probe: {stage: array}}. All stages of a probe that raised."""
    found = {}
    for probe, right in expected.items():
        ours = outputs.get(probe, {})
        if RAISED in ours:
            found[probe] = dict(ours)
        elif different := {stage: value for stage, value in ours.items() if not same(value, right.get(stage))}:
            found[probe] = different
    return found


def name(outputs: dict[str, dict], expected: dict[str, dict], wrong: dict[str, dict[str, dict]]) -> Name:
    """The mistake behind outputs.

    outputs, expected  {probe: {stage: array}}
    wrong              {mistake: `wrong_parts` of its outputs}
    """
    different = wrong_parts(outputs, expected)
    if not different:
        return Name("right")
    there = places(different)
    known = {mistake: parts for mistake, parts in wrong.items() if shows(parts, expected)}
    fitting = [mistake for mistake, parts in known.items() if fits(outputs, expected, parts, places(parts))]
    if whole := unique(mistake for mistake in fitting if places(wrong[mistake]) == there):
        return verdict(whole)
    partly = [mistake for mistake, parts in known.items() if fits_but_options(outputs, expected, parts, there)]
    if partly:
        return verdict(unique(partly))
    pairs = itertools.islice(itertools.combinations(fitting, 2), MOST_PAIRS)
    both = {unique(pair) for pair in pairs if completes(*(places(wrong[mistake]) for mistake in pair), there)}
    if len(both) == 1:
        return Name("two", both.pop())
    plain = without_options(outputs)
    if both or places(plain) == places(outputs):
        return Name("not known")
    found = name(
        plain, without_options(expected), {mistake: without_options(parts) for mistake, parts in wrong.items()}
    )
    if found.kind != "known":
        return Name("not known")
    disguises = [parts for mistake, parts in wrong.items() if unique([mistake]) == found.mistakes]
    options = {
        (probe if probe.startswith(OPTION) else stage).removeprefix(OPTION)
        for probe, stage in sorted(there - places(plain))
        if not any(same(outputs[probe][stage], parts.get(probe, {}).get(stage), 2.0) for parts in disguises)
    }
    return Name("two", (*found.mistakes, f"something else in `{'`, `'.join(sorted(options))}`"))


def without_options(outputs: dict[str, dict]) -> dict[str, dict]:
    """The outputs of the probes and stages that every solution has: without those of optional arguments."""
    return {
        probe: {stage: value for stage, value in stages.items() if not stage.startswith(OPTION)}
        for probe, stages in outputs.items()
        if not probe.startswith(OPTION)
    }


def verdict(names: tuple[str, ...]) -> Name:
    return Name("known" if len(names) == 1 else "one of", names) if len(names) <= 3 else Name("not known")


def unique(keys) -> tuple[str, ...]:
    """Names without what tells disguises of one mistake: "NAME | 2" -> "NAME" """
    return tuple(dict.fromkeys(key.partition(" | ")[0] for key in keys))


def shows(parts, expected) -> bool:
    """True if something wrong came out, not only exceptions, which are alike for very different reasons."""
    return any(
        stage != RAISED and not same(value, expected[probe].get(stage))
        for probe, stages in parts.items()
        for stage, value in stages.items()
    )


def fits(outputs, expected, parts, needed) -> bool:
    """True if the outputs are a mistake's in the places that are needed, and right in the mistake's other ones."""
    for probe, stages in parts.items():
        ours = outputs.get(probe, {})
        for stage, value in stages.items():
            wanted = value if (probe, stage) in needed else expected[probe].get(stage)
            if (stage == RAISED and stage not in ours) or (stage != RAISED and not same(ours.get(stage), wanted, 2.0)):
                return False
        if RAISED in stages and stages.keys() != ours.keys():
            return False
    return True


def fits_but_options(outputs, expected, parts, there) -> bool:
    """True if a mistake fits, but for options and called functions, which can be right all the same."""
    main = {
        probe: {stage: value for stage, value in stages.items() if not is_aside(stage)}
        for probe, stages in parts.items()
        if not is_aside(probe)
    }
    enough = shows(main, expected) and places(main) <= there <= places(parts)
    return enough and fits(outputs, expected, parts, there)


def is_aside(title: str) -> bool:
    return title.startswith(OPTION) or title.partition(",")[0] in CALLED


def same(ours, theirs, factor: float = 1.0) -> bool:
    """True if two arrays, or None, are of one form and equal up to factor times the tolerance."""
    if ours is None or theirs is None or form(ours, theirs):
        return False
    return float(difference(ours, theirs).max(initial=0.0)) <= factor * max(tolerance(theirs), 1e-30)


def places(parts) -> set:
    """{(probe, stage)} of `wrong_parts`."""
    return {(probe, stage) for probe, stages in parts.items() for stage in stages}


def completes(first, second, all_places) -> bool:
    """True if two mistakes are in probes of different functions, and explain all that is wrong."""
    functions = [{probe.partition(",")[0] for probe, _ in each} for each in (first, second)]
    return not functions[0] & functions[1] and first | second == all_places
