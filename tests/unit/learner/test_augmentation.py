"""Items in other words: what is left, what a batch reads, and a base that is trained with them."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from learner.augmentation import DROPPED, Wordings, reworded
from learner.backfill import train_base
from learner.batching import Batch, collate
from learner.catalogue import described, verbalise
from learner.fitting import BackfillSettings
from learner.query import Query
from schemas.events import Item
from tests.tiny import ITEMS, SHAPE, base, embed, labels

FILM = Item(
    item_id="i",
    ts=0,
    title="Heat",
    text="a heist",
    tags=["crime", "noir"],
    attributes={"director": "Mann", "studio": "Regency", "year": 1995},
)


@given(st.integers(0, 10_000))
def test_other_words_are_the_title_and_some_parts_in_any_order(seed: int) -> None:
    title, *parts = reworded(FILM, np.random.default_rng(seed)).split(". ")
    assert title == "Heat"
    assert len(parts) == len(set(parts))
    assert set(parts) <= {part for part in described(FILM) if part} - {"Heat"}


def test_parts_are_left_out_as_often_as_is_said_and_every_order_comes() -> None:
    texts = [reworded(FILM, np.random.default_rng(seed)) for seed in range(1_000)]
    assert abs(np.mean(["studio: Regency" in text for text in texts]) - (1 - DROPPED)) < 0.05
    assert {text.split(". ")[1] for text in texts if ". " in text} == set(described(FILM)) - {"Heat"}
    assert verbalise(FILM) in texts


def batch() -> Batch:
    knowledge = base().knowledge(embed)
    knowledge.catalogue.put(ITEMS)
    session = labels(1, seed=1)[0].session
    query = Query(user_id="u", session=session, ts=1, candidates=[item.item_id for item in ITEMS])
    return collate(knowledge.encoder.encode_many([query], [None]), knowledge.catalogue)


def test_a_batch_reads_each_item_in_one_of_its_wordings_and_goes_on_after_a_restart() -> None:
    rows, width = SHAPE.items, SHAPE.text_width
    table = np.arange(3 * rows, dtype=np.float32).reshape(3, rows, 1).repeat(width, 2)
    through, resumed = Wordings(table, seed=0), Wordings(table, seed=1)
    plain = batch()
    drawn = [through(plain) for _ in range(20)]
    for one in drawn:
        assert torch.equal(one.item_text[:, 0] % rows, plain.item_rows.float())
    chosen = torch.stack([one.item_text[:, 0] // rows for one in drawn])
    assert chosen.unique().tolist() == [0, 1, 2]
    resumed.restore(through.snapshot())
    assert torch.equal(resumed(plain).item_text, through(plain).item_text)


def test_a_base_is_trained_with_other_words_only_where_that_is_asked_for() -> None:
    training = BackfillSettings(epochs=1, batch=64)
    log, told = labels(100, seed=1), []

    def read(texts: list[str]) -> np.ndarray:
        told.extend(texts)
        return embed(texts)

    for count in (0, 2):
        told.clear()
        train_base(ITEMS, log, read, "planted", SHAPE, replace(training, wordings=count))
        assert len(told) == len(ITEMS) * (1 + count)
