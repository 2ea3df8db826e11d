"""Folds: groups stay whole, classes are balanced, the file is read again, and another file is refused."""

import numpy as np
import pytest

from minbert.errors import UserError
from minbert.study import folds

LABELS = np.array([0, 1, 1] * 20)
GROUPS = np.arange(60) // 2
IDS = [str(number) for number in range(2, 62)]


def test_groups_stay_whole_and_classes_are_balanced():
    made = folds.make_folds(LABELS, GROUPS, 5, 2, 1)
    assert made.count == 5 and made.repeats == 2
    assert folds.divided(made, GROUPS.tolist()) == 0
    seen = []
    for repeat, _, train, test in made.splits():
        assert not set(GROUPS[train]) & set(GROUPS[test])
        assert abs(LABELS[test].mean() - 2 / 3) < 0.1
        seen += [(repeat, at) for at in test.tolist()]
    assert sorted(seen) == [(repeat, at) for repeat in (1, 2) for at in range(60)]
    assert (made.parts[0] != made.parts[1]).any()


def test_the_same_seed_gives_the_same_folds_and_another_one_others():
    parts = [folds.make_folds(LABELS, GROUPS, 3, 1, seed).parts for seed in (1, 1, 2)]
    assert (parts[0] == parts[1]).all() and (parts[0] != parts[2]).any()


def test_a_class_with_too_few_groups_is_refused():
    with pytest.raises(
        UserError, match=r"3 folds need as many groups of each class; one class has 4 texts in 2 groups"
    ):
        folds.divide([0] * 8 + [1] * 4, [*range(8), 8, 8, 9, 9], 3, 0)


def test_the_file_is_read_again(tmp_path):
    made = folds.make_folds(LABELS, GROUPS, 3, 2, 1)
    folds.write_folds(tmp_path / "folds.csv", IDS, made)
    found = folds.read_folds(tmp_path / "folds.csv", IDS, LABELS)
    assert (found.parts == made.parts).all() and (found.groups == GROUPS).all()
    assert folds.digest(IDS, found) == folds.digest(IDS, made)


def test_a_text_is_found_by_its_id_and_not_by_its_place(tmp_path):
    """Another program may write the rows in another order."""
    made, path = folds.make_folds(LABELS, GROUPS, 3, 2, 1), tmp_path / "folds.csv"
    folds.write_folds(path, IDS, made)
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *np.random.default_rng(0).permutation(lines)]) + "\n")
    found = folds.read_folds(path, IDS, LABELS)
    assert (found.parts == made.parts).all() and folds.divided(made, found.groups.tolist()) == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: [line.replace("2,0,1,", "2,0,1,x") for line in lines], "holds no folds"),
        (lambda lines: lines[:-1], "its ids are not those of the data"),
        (lambda lines: [*lines, lines[-1]], "its ids are not those of the data"),
        (lambda lines: ["id,fold", *lines[1:]], "the columns are id,fold"),
        (lambda lines: [lines[0], *(line[:-1] + "1" for line in lines[1:])], "does not have the folds 1 to 2"),
        (lambda lines: [lines[0], other(lines[1]), *lines[2:]], "divides a group"),
    ],
)
def test_a_file_of_other_folds_is_refused(tmp_path, change, reason):
    path = tmp_path / "folds.csv"
    folds.write_folds(path, IDS, folds.make_folds(LABELS, GROUPS, 3, 1, 1))
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(UserError, match=reason):
        folds.read_folds(path, IDS, LABELS)


def other(line):
    """A row in another fold."""
    *cells, fold = line.split(",")
    return ",".join([*cells, str(int(fold) % 3 + 1)])


def test_a_held_out_part_takes_whole_groups_of_each_class():
    held = folds.inner_part(LABELS, GROUPS, 10, 3)
    assert 0 < held.sum() <= 12
    assert not set(GROUPS[held]) & set(GROUPS[~held])
    assert set(LABELS[held]) == {0, 1}


def test_a_seed_depends_on_all_names():
    found = [folds.seed_of(*names) for names in ((1, "a", 1), (1, "a", 2), (2, "a", 1), (1, "a", 1))]
    assert found[0] == found[3] and len(set(found)) == 3
    assert folds.seed_of(1, "a", "b") != folds.seed_of(1, "ab", "")
