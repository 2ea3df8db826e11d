"""next: which texts are chosen, and a learning curve that is known."""

import numpy as np
import pytest

from minbert import UserError
from minbert.study.next import choose, learning_curve, spread

SIZES = (100, 200, 400, 800, 1600)


def test_the_curve_of_the_reference(study_golden):
    golden = study_golden["learning_curve"]
    curve = learning_curve(golden["n"], golden["error"])
    assert [curve.a, curve.b, curve.c] == pytest.approx(golden["a_b_c"], rel=1e-4)
    assert curve.error(5000) == pytest.approx(golden["at_5000"], rel=1e-4)


def test_a_curve_without_noise_is_found_again():
    errors = [0.1 + 2 * n**-0.7 for n in SIZES]
    curve = learning_curve(SIZES, [errors] * 3)
    assert (curve.a, curve.b, curve.c) == (pytest.approx(0.1, rel=1e-5), pytest.approx(2, rel=1e-5), pytest.approx(0.7))
    assert curve.interval(3200) == pytest.approx((curve.error(3200),) * 2)
    wanted = curve.labels_for(0.12)  # 2 n^-.7 = .02: n = 100^(1 / .7)
    assert wanted == int(np.ceil(100 ** (1 / 0.7)))
    assert curve.labels_for(0.05) is None


def test_the_bounds_hold():
    falling = learning_curve(SIZES, [n**-0.5 - 0.01 for n in SIZES])
    assert falling.a == 0 and falling.b > 0
    rising = learning_curve(SIZES, [0.2, 0.21, 0.22, 0.23, 0.24])
    assert rising.b == 0 and rising.a == pytest.approx(0.22)


def test_noisy_sizes_count_less():
    """Ten folds; one size is all noise: the curve goes by the others."""
    rng = np.random.default_rng(1)
    errors = (
        0.1 + 2 * np.array([*SIZES, 3200.0]) ** -0.7 + rng.normal(0, [0.001, 0.001, 0.001, 0.001, 0.001, 0.3], (10, 6))
    )
    curve = learning_curve([*SIZES, 3200], errors)
    assert curve.error(3200) == pytest.approx(0.1 + 2 * 3200**-0.7, abs=0.01)


@pytest.mark.parametrize(
    "ask, said",
    [
        (lambda: learning_curve(SIZES[:4], [0.3, 0.2, 0.15, 0.12]), "needs 5 or more different"),
        (lambda: learning_curve(SIZES, [0.3, 0.2, 0.15]), "an error for each fold"),
        (lambda: learning_curve(SIZES, [0.3, 0.2, 0.15, 0.12, 0.1]).error(6401), "says nothing about 6,401 labels"),
        (lambda: learning_curve(SIZES, [0.3, 0.2, 0.15, 0.12, 0.1]).interval(100), "3 or more folds"),
        (lambda: choose([[0.5, 0.5]], 2), "2 texts cannot be chosen from 1"),
        (lambda: choose([[0.5, 0.5]], 1, "entropy"), "no way to choose texts"),
        (lambda: choose([[0.5, 0.5]], 1, "badge"), "badge needs a row of features"),
        (lambda: choose([0.5], 1), "probabilities of 2 or more classes"),
    ],
)
def test_what_is_refused(ask, said):
    with pytest.raises(UserError, match=said):
        ask()


def test_a_third_is_random_and_the_rest_unsure():
    p = np.linspace(0.5, 1, 300)
    chosen, random = choose(np.c_[p, 1 - p], 31)
    assert random.sum() == 11 and random[:11].all() and len(set(chosen.tolist())) == 31
    unsure = [at for at in range(300) if at not in chosen[:11]][:20]
    assert chosen[11:].tolist() == unsure


def test_the_random_third_is_a_fair_sample():
    """Each of 30 texts, the surest and the least sure, comes up as often: 1 in 10 of 3,000 draws, +- 4 sd."""
    p = np.linspace(0.5, 1, 30)
    counts = np.zeros(30)
    for seed in range(3000):
        chosen, random = choose(np.c_[p, 1 - p], 9, seed=seed)
        counts[chosen[random]] += 1
    assert np.abs(counts - 300).max() < 4 * (3000 * 0.1 * 0.9) ** 0.5


def test_badge_takes_one_of_each_direction():
    """Three bunches of copies: three texts are one of each; margin would take three from one bunch."""
    features = np.repeat(np.eye(3), 10, axis=0) * 5
    p = np.tile([0.6, 0.4], (30, 1))
    p[:10] = [0.51, 0.49]
    for seed in range(10):
        picked = spread(p, features, 3, np.random.default_rng(seed))
        assert {at // 10 for at in picked} == {0, 1, 2}
    assert len(set(spread(p, features, 12, np.random.default_rng(0)))) == 12  # copies, when nothing else is left


def test_badge_distances_are_those_of_the_gradients():
    """k-means++ on the written-out gradients [N, C * D] with the same random numbers picks the same texts."""
    rng = np.random.default_rng(4)
    p, features = rng.dirichlet([1, 1, 1], 40), rng.normal(size=(40, 5))
    gradients = ((p - np.eye(3)[p.argmax(1)])[:, :, None] * features[:, None]).reshape(40, -1)
    draw, picked, near = np.random.default_rng(7), [], (gradients**2).sum(1)
    for _ in range(8):
        picked.append(int(draw.choice(40, p=near / near.sum())))
        near = np.minimum(near, ((gradients - gradients[picked[-1]]) ** 2).sum(1))
        near[picked] = 0
    assert spread(p, features, 8, np.random.default_rng(7)) == picked


def test_the_same_choice_again():
    p = np.random.default_rng(0).dirichlet([1, 1], 50)
    first, second, other = (choose(p, 12, "badge", p, seed)[0].tolist() for seed in (1, 1, 2))
    assert first == second != other
