import numpy as np
import pytest
from scipy import optimize, stats
from tools.simulations import stages as simulation


def test_exact_boundaries_are_those_of_the_bivariate_normal_where_seeds_are_many() -> None:
    """Two looks at half and at all of the seeds, 2.5 % spent at each; t is then normal, of correlation √½."""
    first = stats.norm.isf(0.0125)
    both = stats.multivariate_normal(cov=[[1, 0.5**0.5], [0.5**0.5, 1]])

    def crossed_second(bound: float) -> float:
        corners = [both.cdf([x, y]) for x in (first, -first) for y in (bound, -bound)]
        inside = corners[0] - corners[1] - corners[2] + corners[3]
        return float(0.975 - inside - 0.025)

    second = optimize.brentq(crossed_second, 1.5, 3)
    assert simulation.exact_widths((2000, 4000), (0.5, 0.5), 1) == pytest.approx([first, second], abs=0.01)


def test_exact_boundaries_are_a_little_below_those_of_bonferroni() -> None:
    sizes, shares = (5, 10, 20, 40), [0.25] * 4
    exact, plain = simulation.exact_widths(sizes, shares, 3), simulation.t_widths(sizes, shares, 3)
    assert exact[0] == pytest.approx(plain[0], rel=0.01)
    assert all(0.95 * wide < narrow < wide for narrow, wide in zip(exact[1:], plain[1:], strict=True))


@pytest.mark.parametrize("n", [5, 10, 40])
def test_the_anytime_valid_width_is_where_the_e_process_reaches_its_bound(n: int) -> None:
    (width,) = simulation.anytime_widths((n,), 3, variance=3.0)
    mixed, df = 1 + 3 * n, n - 1
    process = mixed**-0.5 * ((1 + width**2 / df) / (1 + width**2 / (df * mixed))) ** (n / 2)
    assert process == pytest.approx(3 / 0.05)


def test_means_and_errors_are_those_of_unit_differences_that_share_a_baseline() -> None:
    mean, error = simulation.moments(2, "normal", studies=4000)[10]
    assert mean.shape == error.shape == (4000, 2)
    assert mean.std(axis=0) == pytest.approx([10**-0.5] * 2, rel=0.05)
    assert np.mean(error**2) == pytest.approx(0.1, rel=0.05)
    assert np.corrcoef(mean.T)[0, 1] == pytest.approx(0.5, abs=0.05)


def test_stages_keep_false_verdicts_below_five_percent_where_looking_at_each_seed_does_not() -> None:
    drawn = simulation.moments(3, "normal", studies=4000)
    found = {each.name: each for each in simulation.designs(3)}
    staged, unadjusted = found["**stages, equal shares**"], found["a look at each seed, nothing adjusted for it"]
    assert max(simulation.outcome(staged, drawn, difference, 0.3).false for difference in (0.0, 0.3)) < 0.05
    assert simulation.outcome(unadjusted, drawn, 0.0, 0.3).false > 0.15
    large = simulation.outcome(staged, drawn, 1.0, 0.15)
    assert large.seeds < 5.5
    assert large.differs == 1
    assert large.differs + large.equivalent + large.undecided == pytest.approx(1)
