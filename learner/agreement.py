"""PURE: how candidates agree with what a session touched, as fast features."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learner.catalogue import KEY_SLOTS, TAG_SLOTS, Catalogue
from learner.recent import Recent
from learner.weighing import weighted

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

MATCH = 6 + KEY_SLOTS
"""Width of these features."""

_FEW = 32
"""Up to so many candidates are compared with each touched item; of more, slots are looked up in a table."""

_LIKE_LENGTH = 0.4
"""Standard deviation, in log-seconds, of the kernel that calls two items similarly long."""


def match_features(catalogue: Catalogue, recent: Recent, rows: Ints, counts: NDArray[np.int64]) -> Floats:
    """How candidates `rows` [M] agree with their sessions, float32 [M, MATCH]; `counts` [B] are each one's.

    Whether the item itself was touched, how many touched items share a tag, their mean satisfaction,
    whether the last one shares one; how those of about its length pleased, and how many they are; and
    per attribute key how many share its value.
    """
    if not recent.lengths.any():
        return np.zeros((len(rows), MATCH), np.float32)
    out = np.empty((len(rows), MATCH), np.float32)
    of = np.repeat(np.arange(len(counts)), counts)
    many = counts > _FEW
    few = ~many[of]
    out[few] = _compared(catalogue, recent.of(of[few]), rows[few])
    ends = np.cumsum(counts)
    for query in np.flatnonzero(many):
        own = slice(ends[query] - counts[query], ends[query])
        out[own] = _looked_up(catalogue, recent.of(np.array([query])), rows[own])
    return out


def _compared(catalogue: Catalogue, recent: Recent, rows: Ints) -> Floats:
    """Each candidate [M] with each item of a session of its own, [M, l]."""
    wanted = catalogue.attributes[rows].T[:, :, None]  # [SLOTS, M, 1]
    seen = np.ascontiguousarray(np.moveaxis(catalogue.attributes[recent.rows], -1, 0))  # [SLOTS, M, l]
    shared = np.zeros(recent.rows.shape, np.bool_)
    for own in wanted[:TAG_SLOTS]:
        given = own > 0
        for other in seen[:TAG_SLOTS]:
            shared |= (own == other) & given
    keys = zip(wanted[TAG_SLOTS:], seen[TAG_SLOTS:], strict=True)
    same = np.stack([((own == other) & (own > 0)).sum(1) for own, other in keys], 1)
    return _columns(catalogue, recent, rows, shared, same)


def _looked_up(catalogue: Catalogue, recent: Recent, rows: Ints) -> Floats:
    """Many candidates [n] with one session, [1, l]."""
    wanted, seen = catalogue.attributes[rows], catalogue.attributes[recent.rows[0]]
    shared = _shared_tags(wanted[:, :TAG_SLOTS], seen[:, :TAG_SLOTS])
    return _columns(catalogue, recent, rows, shared, _same_keys(wanted[:, TAG_SLOTS:], seen[:, TAG_SLOTS:]))


def _shared_tags(tags: Ints, seen: Ints) -> NDArray[np.bool_]:
    """Whether a candidate [n, TAG_SLOTS] shares a tag with a touched item [l, TAG_SLOTS]: [n, l]."""
    has = np.zeros((int(max(tags.max(initial=0), seen.max())) + 1, len(seen)), np.bool_)
    has[seen, np.arange(len(seen))[:, None]] = True
    has[0] = False
    return np.asarray(has[tags].any(1))


def _same_keys(keys: Ints, seen: Ints) -> NDArray[np.int64]:
    """How many of the touched items [l, KEY_SLOTS] share a candidate's value of each key: [n, KEY_SLOTS]."""
    slots = np.arange(KEY_SLOTS)
    counts = np.zeros((int(max(keys.max(initial=0), seen.max())) + 1, KEY_SLOTS), np.int64)
    np.add.at(counts, (seen, np.broadcast_to(slots, seen.shape)), 1)
    counts[0] = 0
    found: NDArray[np.int64] = counts[keys, slots]
    return found


def _columns(
    catalogue: Catalogue, recent: Recent, rows: Ints, shared: NDArray[np.bool_], same_key: NDArray[np.int64]
) -> Floats:
    """The features of candidates [n], of which items share a tag, [n, l], and how many a key's value.

    The sessions are [n, l], or [1, l] for all.
    """
    known = recent.satisfaction >= 0
    satisfaction = np.where(known, recent.satisfaction, np.float32(0))
    usual = satisfaction.sum(1, keepdims=True) / np.maximum(known.sum(1, keepdims=True), 1)
    liking = np.where(known, satisfaction - usual, 0.0).astype(np.float32)
    durations = catalogue.log_duration
    apart = (durations[rows][:, None] - durations[recent.rows]) / _LIKE_LENGTH
    alike = np.exp(-(apart**2) / 2) * known
    sharing = shared.sum(1)
    columns = [
        (rows[:, None] == recent.rows).any(1) & (rows > 0),
        np.log1p(sharing),
        _summed(shared, liking) / (sharing + 1),
        shared[:, -1],
        _summed(alike, liking) / (alike.sum(1) + 1),
        np.log1p(alike.sum(1)),
    ]
    return np.concatenate([np.stack(columns, 1), np.log1p(same_key)], axis=1, dtype=np.float32)


def _summed(columns: NDArray[Any], liking: Floats) -> Floats:
    """Columns [n, l] weighted by what is [n, l], or [1, l] for all, and summed: [n]."""
    if len(liking) == 1:
        return weighted(columns, liking[0])
    total: Floats = (columns * liking).sum(1)
    return total
