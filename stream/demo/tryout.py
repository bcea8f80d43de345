"""PURE: what to type to see an event change an answer, beside a demo that is left running."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from schemas.events import Item

CLICKS = 3

PRODUCER = """\
import json, time
from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers="{broker}", value_serializer=lambda it: json.dumps(it).encode())
now, shown = int(time.time() * 1000), {items}
producer.send("impressions", key=b"me", value=dict(
    event_id=f"i{{now}}", request_id=f"r{{now}}", user_id="me", ts=now,
    items=[dict(item_id=item, position=place) for place, item in enumerate(shown)]))
for item in shown:
    producer.send("clicks", key=b"me", value=dict(
        event_id=f"c{{now}}-{{item}}", request_id=f"r{{now}}", user_id="me", item_id=item, ts=now + 1000))
producer.flush()
"""


def of_one_kind(items: Iterable[Item]) -> tuple[str, Sequence[str]]:
    """Return the most frequent tag and a few items that carry it."""
    tagged: defaultdict[str, list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for item in items:
        for tag in item.tags:
            tagged[tag].append(item.item_id)
            counts[tag] += 1
    tag = counts.most_common(1)[0][0]
    return tag, tagged[tag][:CLICKS]


def instructions(broker: str, url: str, items: Sequence[Item]) -> str:
    """Return the commands, in order, ready to be copied."""
    tag, clicked = of_one_kind(items)
    ask = f"curl '{url}/recommendations/me?k=5'"
    return "\n".join(
        [
            "Ask for a user who is new:",
            f"  {ask}",
            f"Let them click {len(clicked)} videos of one kind ({tag}), for example from Python:",
            *("  " + line for line in PRODUCER.format(broker=broker, items=list(clicked)).splitlines()),
            "Ask again, about a second later; `model_version` is another, and so is the answer:",
            f"  {ask}",
        ]
    )
