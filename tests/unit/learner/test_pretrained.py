"""Sessions read by models from Hugging Face directories: loaded exactly, adapted, followed and exported."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoModel, BertConfig, BertTokenizer, GPT2Config, PreTrainedConfig, T5Config

from learner.adapter import low_rank_layers
from learner.backbone import described_backbone
from learner.backfill import train_base
from learner.base import Base, parse_base
from learner.export import export
from learner.fitting import BackfillSettings
from learner.foundation import lay_foundation
from learner.online import OnlineLearner
from learner.pretrained import Pretrained, load_backbone
from learner.query import Query
from learner.ranker import RankerSettings, SessionEncoder
from learner.scorer import Scorer, score
from learner.settings import LearnerSettings
from learner.update_settings import UpdateSettings
from schemas.errors import BaseError
from tests.drafts import manifest_of
from tests.tiny import ITEMS, SHAPE, embed, labels

CONFIGS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    ),
    "gpt2": GPT2Config(vocab_size=50, n_embd=24, n_layer=2, n_head=2, n_positions=16),
}
QUERIES = [
    Query(user_id=s.user_id, session=s.session, ts=s.ts, candidates=s.slate) for s in labels(10, seed=9)
]
every_kind = pytest.mark.parametrize("kind", CONFIGS)


def saved(config: PreTrainedConfig, directory: Path) -> torch.nn.Module:
    """A model with random weights, kept in a directory as Hugging Face keeps it."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModel.from_config(config)
    model.save_pretrained(directory)
    return model.eval()


@cache
def backbone(kind: str) -> Pretrained:
    with TemporaryDirectory() as directory:
        saved(CONFIGS[kind], Path(directory))
        return load_backbone(directory, SHAPE.tokens)


@cache
def base(kind: str) -> Base:
    """A base around the model; the directory is gone by then."""
    shape = RankerSettings(**vars(SHAPE) | {"backbone": backbone(kind).config})
    training = BackfillSettings(epochs=1, batch=64)
    slates = labels(100, seed=1)
    return train_base(ITEMS, slates, embed, "planted", shape, training, backbone=backbone(kind)).base


@every_kind
def test_what_is_loaded_computes_what_was_saved(kind: str, tmp_path: Path) -> None:
    original = saved(CONFIGS[kind], tmp_path)
    loaded = load_backbone(str(tmp_path), tokens=12)
    model, width = described_backbone(loaded.config)
    loaded.settle(model.eval())
    assert width == 24
    vectors = torch.randn(3, 12, 24)
    torch.testing.assert_close(
        model(inputs_embeds=vectors).last_hidden_state, original(inputs_embeds=vectors).last_hidden_state
    )


@every_kind
def test_base_training_leaves_the_pretrained_weights_alone_and_keeps_them(kind: str) -> None:
    session = parse_base(base(kind).payload).ranker().session
    assert isinstance(session, SessionEncoder)
    for name, weights in session.transformer.state_dict().items():
        torch.testing.assert_close(weights, backbone(kind).weights[name], rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@every_kind
def test_the_stream_adapts_it_scorers_follow_and_peft_agrees(kind: str, tmp_path: Path) -> None:
    online = OnlineLearner(base(kind), embed, UpdateSettings(step=5e-3), seed=0)
    online.put_items(ITEMS)
    for start in range(0, 96, 16):
        online.learn(labels(96, seed=2, turned=1)[start : start + 16])
    inside = {n: x for n, x in low_rank_layers(online.ranker).items() if n.startswith("session.transformer.")}
    assert len(inside) >= 8
    assert all(layer.lam.any() for layer in inside.values())

    draft, scorer = online.checkpoint(), Scorer(base(kind), embed)
    scorer.put_items(ITEMS)
    scorer.apply(manifest_of(draft), draft.payload)
    export(online.ranker, online.knowledge, base(kind).hash, tmp_path)
    with_peft = PeftModel.from_pretrained(base(kind).ranker(), tmp_path).eval()
    answers = score(with_peft.base_model.model, online.knowledge, QUERIES, "cpu")
    for own, theirs, served in zip(
        score(online.ranker, online.knowledge, QUERIES, "cpu"), answers, scorer.score(QUERIES), strict=True
    ):
        np.testing.assert_allclose(own, theirs, atol=1e-5)
        np.testing.assert_allclose(own, served, atol=5e-3)  # a checkpoint is rounded


def test_settings_name_the_directory(tmp_path: Path) -> None:
    saved(GPT2Config(vocab_size=50, n_embd=24, n_layer=1, n_head=2), tmp_path / "model")
    settings = LearnerSettings(state_dir=str(tmp_path), backbone=str(tmp_path / "model"))
    laid = lay_foundation(settings, "cpu")
    laid.embed.close()
    assert laid.backbone is not None
    assert laid.shape == RankerSettings(backbone=laid.backbone.config)


def test_a_text_encoder_has_the_width_that_its_model_has(tmp_path: Path) -> None:
    saved(CONFIGS["bert"], tmp_path / "model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "width"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "model")
    laid = lay_foundation(
        LearnerSettings(state_dir=str(tmp_path), text_encoder=str(tmp_path / "model")), "cpu"
    )
    laid.embed.close()
    assert laid.shape == RankerSettings(text_width=24)
    with pytest.raises(BaseError, match=r"text encoder \./nothing: expected a Hugging Face model"):
        lay_foundation(LearnerSettings(state_dir=str(tmp_path), text_encoder="./nothing"), "cpu")


def test_what_cannot_read_sessions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="expected a Hugging Face model, cannot read it"):
        load_backbone(str(tmp_path / "nothing"), tokens=12)
    CONFIGS["bert"].save_pretrained(tmp_path / "short")
    with pytest.raises(BaseError, match="expected positions for 52 tokens, got 16"):
        load_backbone(str(tmp_path / "short"), tokens=52)
    T5Config(num_layers=1).save_pretrained(tmp_path / "two")
    with pytest.raises(BaseError, match="expected one stack of layers"):
        load_backbone(str(tmp_path / "two"), tokens=12)
