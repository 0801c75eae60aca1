import pytest
from hypothesis import given
from hypothesis import strategies as st

from digitrec.reports.statistics import betainc, chi2_quantile, clopper_pearson, wilson


def test_wilsons_interval_is_the_published_one():
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for hits, of, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)]:
        assert (wilson(hits, of).low, wilson(hits, of).high) == pytest.approx((low, high), abs=5e-5)


def test_the_exact_interval_is_the_published_one():
    # The same table, method 5.
    for hits, of, low, high in [(81, 263, 0.2527, 0.3676), (15, 148, 0.0578, 0.1617), (0, 20, 0, 0.1684)]:
        assert (clopper_pearson(hits, of).low, clopper_pearson(hits, of).high) == pytest.approx((low, high), abs=5e-5)


def test_nothing_counted_says_nothing():
    for interval in (wilson(0, 0), clopper_pearson(0, 0)):
        assert (interval.share, interval.low, interval.high) == (None, 0.0, 1.0)


@pytest.mark.parametrize("method", [wilson, clopper_pearson])
def test_more_hits_than_tries_is_a_mistake_of_the_caller(method):
    with pytest.raises(ValueError, match="3 hits of 2"):
        method(3, 2)


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_the_interval_is_within_0_and_1_and_holds_the_estimate(of, part):
    interval = wilson(round(part * of), of)

    assert 0 <= interval.low <= interval.share <= interval.high <= 1
    assert interval.low < interval.high


@given(st.integers(0, 20), st.integers(1, 200_000), st.floats(0, 1))
def test_the_exact_interval_turns_back_into_the_probability_it_was_made_of(hits, more, part):
    of = hits + round(part * more) + 1
    interval = clopper_pearson(hits, of)

    assert interval.low <= interval.share <= interval.high
    assert betainc(hits + 1, of - hits, interval.high) == pytest.approx(0.975, abs=1e-6)
    if hits:
        assert betainc(hits, of - hits + 1, interval.low) == pytest.approx(0.025, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("hits", "of"), [(0, 1), (1, 7), (3, 5000), (4999, 5000), (40_000, 100_000), (2, 1_000_000)])
def test_the_exact_interval_is_that_of_scipy(hits, of):
    from scipy.stats import binomtest

    exact, computed = binomtest(hits, of).proportion_ci(0.95, method="exact"), clopper_pearson(hits, of)

    assert (computed.low, computed.high) == pytest.approx((float(exact.low), float(exact.high)), rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("freedom", [1, 2, 9, 10, 30])
def test_the_chi_squared_quantile_is_that_of_scipy(freedom):
    from scipy.stats import chi2

    for share in (0.05, 0.5, 0.95, 0.999):
        assert chi2_quantile(share, freedom) == pytest.approx(float(chi2.ppf(share, freedom)), rel=1e-9)
