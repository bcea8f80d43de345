"""SHELL: Open Bandit Dataset (Saito et al., 2020) as an event log: fashion items with true propensities.

Every row is one impression of one item at one of three positions, by one of two logging policies; `policy`
says which ("random" or "bts"), and requests of both are in one log. A click is placed at the time of its
impression: the source logs none. The source has no user ids: `user_id` is a hash of the four hashed user
features, so it names a *group* of people who look alike to the source, and says nothing of one person. The
user–item affinities are left out: they count clicks over a time that the source does not name.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from schemas.events import Click, Impression, Item, ShownItem
from schemas.record import Scalar
from stream.conversion.log import ConvertedLog, Timed
from stream.conversion.source import Row, csv_rows

POLICIES = ("random", "bts")
CAMPAIGN = "all"
_USER_FEATURES = tuple(f"user_feature_{number}" for number in range(4))
_ITEM_FEATURES = tuple(f"item_feature_{number}" for number in range(4))


def convert(source: Path) -> ConvertedLog:
    """Read an Open Bandit directory: `random_all.csv.gz`, `bts_all.csv.gz` and `item_context.csv`.

    Raises:
        LogDirectoryError: one of the files is not there.
    """
    log = ConvertedLog()
    for policy in POLICIES:
        for number, row in enumerate(csv_rows(source, f"{policy}_{CAMPAIGN}.csv.gz")):
            log.extend(events(policy, number, row))
    first_ts = min((event.ts for event in log.files["impressions"]), default=0)
    log.extend(items(csv_rows(source, "item_context.csv"), first_ts))
    return log


def events(policy: str, number: int, row: Row) -> Iterator[Timed]:
    """The impression of a row, with position (from 0, left to right) and propensity, and its click."""
    request, user, ts = f"obd-{policy}-{number}", pseudonym(row), _ts(row["timestamp"])
    position = int(row["position"]) - 1
    shown = ShownItem(item_id=row["item_id"], position=position, propensity=float(row["propensity_score"]))
    yield Impression(
        event_id=f"{request}-impression",
        request_id=request,
        user_id=user,
        ts=ts,
        items=[shown],
        surface=CAMPAIGN,
        policy=policy,
    )
    if row["click"] == "1":
        yield Click(
            event_id=f"{request}-click",
            request_id=request,
            user_id=user,
            item_id=shown.item_id,
            ts=ts,
            position=position,
        )


def pseudonym(row: Row) -> str:
    """16 hex digits that stand for everyone with these user features."""
    features = "|".join(row[name] for name in _USER_FEATURES)
    return blake2b(features.encode(), digest_size=8).hexdigest()


def items(contexts: Iterable[Row], ts: int) -> Iterator[Item]:
    """The catalogue: four anonymised features each, the first a number; placed at the first impression."""
    for row in contexts:
        number, *names = _ITEM_FEATURES
        attributes: dict[str, Scalar] = {number: float(row[number]), **{name: row[name] for name in names}}
        yield Item(
            item_id=row["item_id"], ts=ts, title=f"Fashion item {row['item_id']}", attributes=attributes
        )


def _ts(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp).timestamp() * 1000)
