"""How sure a measured share is: confidence intervals, for every room."""

from __future__ import annotations

import math

_Z = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """95 % confidence interval of a share measured on ``count`` cases (Wilson's score interval)."""
    if count < 1:
        raise ValueError("an interval needs at least one case")
    middle = share + _Z * _Z / (2 * count)
    reach = _Z * math.sqrt(share * (1 - share) / count + _Z * _Z / (4 * count * count))
    scale = 1 + _Z * _Z / count
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)
