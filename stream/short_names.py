"""PURE: names of bounded length: what is kept of ids and surfaces where many of them share one record."""

from base64 import b64encode
from hashlib import blake2b

LENGTH = 12
"""Characters, all ASCII, of a name that had to be shortened; no other name is so long."""

_DIGEST_BYTES = 3 * LENGTH // 4


def short(name: str) -> str:
    """Return a name of ASCII that is shorter than `LENGTH` as it is, of any other 72 bits of its hash.

    >>> short("user-7"), short("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed")
    ('user-7', 'RuCeQNQgwvMm')
    """
    if len(name) < LENGTH and name.isascii():
        return name
    return b64encode(blake2b(name.encode(), digest_size=_DIGEST_BYTES).digest()).decode()
