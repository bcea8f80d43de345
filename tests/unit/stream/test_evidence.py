"""What is handed over of the evidence: bounded, and the newest of it."""

import msgspec
import numpy as np

from schemas.events import ShownItem
from schemas.record import ID_BYTES
from stream import delays, examination, satisfaction, trust
from stream.behaviour import MOST_TOLD, Told, Visit
from stream.estimates import Estimates
from stream.evidence import RECORD_BYTES, Evidence, Seal, pack, unpack
from stream.short_names import short

LONG_MS = 3_600_000
MOST_ITEMS = 500


class Noise:
    """Estimates that cannot be packed any smaller; the largest that a record holds at `BYTES`."""

    BYTES = RECORD_BYTES // 3

    def __init__(self) -> None:
        self.seed = 0

    def snapshot(self):
        return {"seed": self.seed, "noise": np.random.default_rng(self.seed).bytes(self.BYTES)}

    def restore(self, state):
        self.seed = state["seed"]


def name(kind: str, number: int) -> str:
    """An id as long as may be."""
    return f"{kind}-{number}-".ljust(ID_BYTES, "x")


def test_all_estimates_at_their_bounds_fit_a_record():
    rng, learned = np.random.default_rng(0), Estimates()
    surfaces = [name("surface", number) for number in range(2 * delays.SURFACES)]
    for surface in surfaces:
        for octave in range(2, 26):
            learned.fold_stay(float(rng.integers(100, 10**6)), 1_000.0 * 2 ** (octave / 2), surface)
        for _ in range(4):
            items = rng.integers(0, 10**6, size=100).tolist()
            views = [(ShownItem(item_id=name("item", i), position=k % 40), k) for k, i in enumerate(items)]
            learned.fold_slate(surface, views)
    for number in range(trust.USERS + 2 * trust.ROUND):
        shown = [short(name("item", i)) for i in rng.integers(0, 10**6, size=40).tolist()]
        clicks = [(item_id, LONG_MS + number) for item_id in shown[::2]]
        whole = [(name("item", at), at) for at in range(len(clicks))]
        told = Told(name("user", number), name("request", number), surfaces[0], LONG_MS, 81, whole)
        learned.fold_visit(Visit(short(name("user", number)), LONG_MS, shown, clicks, 20, 0, told))
    assert learned.trust.snapshot()["known"] == trust.USERS
    # The most that a round can go over its bound, and names of every kind that there can be.
    shown = [short(name("item", i)) for i in range(MOST_ITEMS)]
    told = Told(
        *(name("id", n) for n in range(3)), LONG_MS, 1, [(name("item", n), n) for n in range(MOST_TOLD)]
    )
    clicks = [(item_id, LONG_MS) for item_id in shown]
    last = Visit(short(name("user", 0)), LONG_MS, shown, clicks, told=told)
    state = learned.snapshot()
    users = [short(name("user", number)) for number in range(trust.USERS + trust.USERS // 4)]
    state["trust"] |= {
        "distrusted": dict.fromkeys(users, 0.1234),
        "veterans": users,
        "besieged": dict.fromkeys(shown[: trust.BESIEGED], (2**42, 2**42)),
    }
    size = len(msgspec.msgpack.encode(state))
    size += (trust.PAST + 1) * len(msgspec.msgpack.encode([last]))
    size += trust.ROUND_ENTRIES * 23 - len(b"".join(state["trust"]["log"]))  # the round that has just begun
    assert size < RECORD_BYTES
    assert len(state["examination"]) == examination.SURFACES
    assert len(state["satisfaction"]["curves"]) >= satisfaction.CURVES


def test_of_more_seals_than_fit_the_newest_are_handed_over():
    seals = [Seal(epoch, epoch, np.random.default_rng(epoch).bytes(RECORD_BYTES // 4)) for epoch in range(9)]
    raw = pack(seals)
    assert len(raw) <= RECORD_BYTES
    is_cut, handed, _ = unpack(raw)
    assert is_cut
    assert handed == seals[-len(handed) :]
    assert len(handed) == 3


def test_before_the_oldest_seal_that_is_left_the_next_best_is_used():
    evidence, successor = (Evidence(Noise, epoch_ms=10, horizon_ms=5) for _ in range(2))
    for epoch in range(6):
        growing = evidence.growing(10 * epoch)
        assert growing is not None
        growing.seed = epoch + 1
        evidence.seal(epoch)
    raw = evidence.take(0)
    assert raw is not None
    successor.restore(raw)
    for ts in (35, 55, 64, 65, 99):
        assert successor.at(ts).seed == max(5, evidence.at(ts).seed)
    assert evidence.take(0) is None
