"""The common base of every record, and the types its fields are made of."""

from typing import Annotated

import msgspec

ID_BYTES = 256
"""Ids longer than this, in UTF-8 bytes, are refused."""

Id = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=ID_BYTES, description=f"at most {ID_BYTES} bytes of UTF-8"),
]
Ts = Annotated[int, msgspec.Meta(ge=0, lt=2**53, description="integer milliseconds since the epoch, UTC")]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Propensity = Annotated[float, msgspec.Meta(gt=0, le=1)]
Position = Annotated[int, msgspec.Meta(ge=0, lt=2**31, description="the first is 0")]
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Scalar = str | Int64 | float
"""A value of `context` or `attributes`. Unbounded integers would overflow where they become floats."""


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A frozen record: unknown fields are ignored, defaults are not written.

    The garbage collector leaves records alone: they are trees, and a worker holds hundreds of thousands.

    Subclasses repeat `frozen=True`, which they inherit, because type checkers do not see it otherwise.
    """
