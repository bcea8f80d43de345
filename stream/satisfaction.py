"""PURE: how well an item pleased, from how long the user stayed with it."""

ATTENTION_MS = 18_000.0
"""Longer stays count as wholly satisfied whatever the item's length: KuaiRand's `long_view` threshold."""


def satisfaction(dwell_ms: float, duration_ms: float | None) -> float:
    """Return the share of the expected attention that was given, in [0, 1], monotone in dwell.

    The expectation is the item's duration, at most 18 s; 18 s where the duration is unknown or zero.

    >>> satisfaction(9_000, 60_000), satisfaction(9_000, 6_000), satisfaction(9_000, None)
    (0.5, 1.0, 0.5)
    """
    expected = min(duration_ms, ATTENTION_MS) if duration_ms else ATTENTION_MS
    return min(1.0, dwell_ms / expected)
