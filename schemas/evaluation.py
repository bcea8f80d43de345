"""A metric of one model version over one window."""

from schemas.record import Record, Ts


class Evaluation(Record, frozen=True, kw_only=True):
    """The value of a metric, the number of observations behind it, and its 95 % interval if known."""

    name: str
    value: float
    count: int
    model_version: str | None
    window_start: Ts
    window_end: Ts
    slice: dict[str, str] = {}
    ci_low: float | None = None
    ci_high: float | None = None
