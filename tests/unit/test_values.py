"""Numbers as figures and pages write them."""

import numpy as np
import pytest

from stages.core.base.values import percent, rounded


@pytest.mark.parametrize("count", range(0, 2001, 7))
def test_a_share_is_the_same_number_in_figures_and_in_percent(count):
    share = count / 2000
    assert percent(share) == f"{float(rounded(share, '.3f')) * 100:.1f}\u00a0%"
    exact = (count * 1000 + 1000) // 2000  # thousandths, a half upwards
    assert rounded(share, ".3f") == f"{exact / 1000:.3f}"


def test_a_half_is_rounded_away_from_zero():
    assert percent(0.9345) == "93.5\u00a0%" and rounded(0.9345, ".3f") == "0.935"
    assert rounded(-0.0625, ".3f") == "-0.063" and rounded(np.float64(0.0625), ".3f") == "0.063"
    assert rounded(0.87525, ".4g") == "0.8753" and rounded(7850, ".4g") == "7850"
    assert rounded(3e35, ".1f") == f"3{'0' * 35}.0"
