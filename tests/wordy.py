"""A planted world where titles say what items are, most by the order of words; and a tiny text encoder."""

from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from learner.ranker import RankerSettings
from schemas.events import Item
from schemas.labels import LabeledSlate, Outcome, Session, SessionItem

KINDS = ("jazz", "chess")
LEFT, RIGHT = "before", "after"
FILLERS = tuple(f"word{number}" for number in range(60))
PLAIN = range(200)
"""Items that name their kind; of the others only the order of two words tells it."""
USERS, SLATE, WORDS = 20, 4, 6
CLICKED_IF_LIKED, CLICKED_IF_NOT = 0.9, 0.1

WIDTH = 32
SHAPE = RankerSettings(
    width=16, length=4, text_width=WIDTH, hidden=16, items=16_384, users=64, attributes=8, contexts=8
)


def items(numbers: range) -> list[Item]:
    """Items of one kind if their number is even, of the other if it is odd; nothing but the title says so."""
    return [Item(item_id=f"i{number}", ts=0, title=_title(number)) for number in numbers]


def _title(number: int) -> str:
    rng = np.random.default_rng(number)
    words = list(rng.choice(FILLERS, WORDS))
    first, second = sorted(rng.choice(WORDS, 2, replace=False))
    if number in PLAIN:
        words[first] = KINDS[number % 2]
    else:
        words[first], words[second] = (LEFT, RIGHT) if number % 2 == 0 else (RIGHT, LEFT)
    return " ".join(words)


def slates(n: int, seed: int, numbers: range) -> list[LabeledSlate]:
    """Slates of these items; users like one kind, and lately clicked on plain items of it."""
    rng = np.random.default_rng(seed)
    return [_slate(f"{seed}-{number}", number * 1000, rng, numbers) for number in range(n)]


def _slate(name: str, ts: int, rng: np.random.Generator, numbers: range) -> LabeledSlate:
    user = int(rng.integers(USERS))
    shown = [int(item) for item in rng.choice(numbers, SLATE, replace=False)]
    chances = [CLICKED_IF_LIKED if item % 2 == user % 2 else CLICKED_IF_NOT for item in shown]
    recent = 2 * rng.choice(len(PLAIN) // 2, 3) + user % 2
    return LabeledSlate(
        request_id=name,
        revision=0,
        user_id=f"u{user}",
        ts=ts,
        observed_ts=ts,
        session=Session(
            recent=[
                SessionItem(item_id=f"i{item}", action="click", satisfaction=1.0, age_s=60) for item in recent
            ],
            counters={},
        ),
        slate=[f"i{item}" for item in shown],
        outcomes=[
            Outcome(item_id=f"i{item}", position=place, clicked=bool(rng.random() < chance), final=True)
            for place, (item, chance) in enumerate(zip(shown, chances, strict=True))
        ],
    )


def save_encoder(directory: Path) -> None:
    """A random BERT of two blocks that mixes words and places, as Hugging Face keeps it."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *KINDS, LEFT, RIGHT, *FILLERS]
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=16,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = BertModel(config)
    model.save_pretrained(directory)
    (directory / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(directory / "vocab.txt")).save_pretrained(directory)
