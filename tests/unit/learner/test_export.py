"""What is exported is what was served: peft agrees with our own layers."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from peft import PeftModel

from learner.adapter import LowRankLinear, low_rank_layers
from learner.archive import Whole, lineage
from learner.base import load_base
from learner.checkpoint import content_hash, version_of
from learner.export import export, moved
from learner.online import OnlineLearner
from learner.query import Query
from learner.rollback import GIVEN, export_version, served_by, whole_payload
from learner.scorer import Scorer, score
from learner.update_settings import UpdateSettings
from schemas.errors import CheckpointRefused
from schemas.labels import LabeledSlate
from tests.drafts import manifest_of
from tests.tastes import ITEMS, base, slates, turned
from tests.tiny import ITEMS as TINY_ITEMS
from tests.tiny import embed
from tests.unit.learner.test_turnover import assert_agree, batches, everybody, full, scorer

QUERIES = [
    Query(user_id=s.user_id, session=s.session, ts=s.ts, candidates=s.slate) for s in slates(20, 9, turned)
]


SETTINGS = UpdateSettings(step=2e-3, allocate_every=2, descent_examples=64)


def learned(batches: int = 4, settings: UpdateSettings = SETTINGS) -> OnlineLearner:
    online = OnlineLearner(base(), embed, settings, seed=0)
    online.put_items(ITEMS)
    for number in range(batches):
        online.learn(slates(32, 3, turned, first=10_000 + 32 * number))
    return online


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
def test_peft_predicts_with_the_exported_adapter_what_the_learner_does(tmp_path: Path) -> None:
    online = learned()
    export(online.ranker, online.knowledge, base().hash, tmp_path)
    ranker = base().ranker()
    before = score(ranker, online.knowledge, QUERIES, "cpu")
    loaded = PeftModel.from_pretrained(ranker, tmp_path).eval()
    answers = score(loaded.base_model.model, online.knowledge, QUERIES, "cpu")
    own = score(online.ranker, online.knowledge, QUERIES, "cpu")
    for ours, theirs in zip(own, answers, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert max(np.abs(a - b).max() for a, b in zip(before, own, strict=True)) > 1e-3


def consolidated() -> list[Whole]:
    """A version and what it builds on, after the base was consolidated."""
    online, wholes = learned(0, replace(SETTINGS, consolidate_every=300)), {}
    for number in range(8):
        online.learn(slates(32, 3, turned, first=10_000 + 32 * number))
        draft = online.checkpoint()
        wholes[draft.version] = Whole(manifest_of(draft), draft.payload)
    manifests = {version: whole.manifest for version, whole in wholes.items()}
    chain = lineage(manifests, draft.version, base().hash)
    return [wholes[manifest.version] for manifest in chain]


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
def test_what_is_exported_after_consolidations_comes_with_the_base_that_it_is_over(tmp_path: Path) -> None:
    chain = consolidated()
    files = export_version(base(), chain, tmp_path)
    own = load_base(tmp_path)
    assert tmp_path / "base.safetensors" in files
    assert own.hash == chain[-1].manifest.base != base().hash
    kept = {whole.manifest.version: whole for whole in chain if whole.manifest.base == own.hash}
    manifests = {version: whole.manifest for version, whole in kept.items()}
    scorer = Scorer(own, embed)  # as a worker that starts from this base, when what was folded is gone
    for manifest in lineage(manifests, chain[-1].manifest.version, own.hash):
        scorer.apply(manifest, kept[manifest.version].payload)
    scorer.put_items(ITEMS)
    loaded = PeftModel.from_pretrained(own.ranker(), tmp_path).eval()
    answers = score(loaded.base_model.model, scorer.model[1], QUERIES, "cpu")
    for ours, theirs in zip(scorer.score(QUERIES), answers, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_how_far_layers_moved_is_the_norm_of_what_they_add() -> None:
    online, other = learned(2), learned(4)
    norms = moved((online.ranker, online.knowledge), (other.ranker, other.knowledge))

    def update(layer: LowRankLinear) -> torch.Tensor:
        return ((layer.P * layer.lam) @ layer.Q).detach()

    others = low_rank_layers(other.ranker)
    for name, layer in low_rank_layers(online.ranker).items():
        if isinstance(layer, LowRankLinear):
            own, further = update(layer), update(others[name])
            expected = float(own.norm()), float((own - further).norm())
            np.testing.assert_allclose(norms[name], expected, rtol=1e-3, atol=1e-6)
    assert max(distance for _, distance in norms.values()) > 0


def given_away() -> tuple[OnlineLearner, list[Whole], list[LabeledSlate]]:
    """A learner over a full base whose rows have gone to new users and items, and what it published."""
    online, wholes, seen = OnlineLearner(full(), embed, SETTINGS, seed=0), [], []
    online.put_items(TINY_ITEMS)
    for batch in batches(6, seed=5):
        online.learn(batch)
        seen += batch
        draft = online.checkpoint()
        wholes.append(Whole(manifest_of(draft), draft.payload))
    assert online.knowledge.vocabulary.users.snapshot() != full().ids["users"]
    return online, wholes, seen


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
def test_what_is_exported_after_rows_changed_owners_is_over_a_base_without_the_old_ones(
    tmp_path: Path,
) -> None:
    online, chain, seen = given_away()
    files = export_version(full(), chain, tmp_path)
    assert tmp_path / GIVEN / "base.safetensors" in files
    over = load_base(tmp_path / GIVEN)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == over.hash != full().hash
    served, queries, knowledge = scorer(full()), everybody(seen), over.knowledge(embed)
    for whole in chain:
        served.apply(whole.manifest, whole.payload)
    knowledge.catalogue.put(TINY_ITEMS)
    loaded = PeftModel.from_pretrained(over.ranker(), tmp_path).eval()
    answers = score(loaded.base_model.model, knowledge, queries, "cpu")
    for ours, theirs in zip(served.score(queries), answers, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert_agree(online, served, seen)
    with pytest.raises(CheckpointRefused, match=over.hash):  # that one is for peft alone
        scorer(over).apply(chain[0].manifest, chain[0].payload)


def test_a_whole_payload_after_rows_changed_owners_is_what_was_served() -> None:
    online, chain, seen = given_away()
    again = scorer(full())
    draft = online.checkpoint()
    payload = whole_payload(full(), chain)
    manifest = msgspec.structs.replace(
        manifest_of(draft),
        version=version_of(content_hash(payload)),
        parent=None,
        sha256=content_hash(payload),
        bytes=len(payload),
    )
    again.apply(manifest, payload)
    assert_agree(online, again, seen)


def test_versions_are_compared_by_id_whatever_row_it_has() -> None:
    _, chain, _ = given_away()
    whole, shuffled = served_by(full(), chain), served_by(full(), chain)
    users = shuffled.model[1].vocabulary.users
    ids, table = users.snapshot(), shuffled.model[0].get_submodule("users")
    with torch.no_grad():
        table.a[1 : 1 + len(ids)] = table.a[1 : 1 + len(ids)].flip(0)
    users.restore(ids[::-1])
    _, distance = moved(whole.model, shuffled.model)["users"]
    assert distance == 0 < moved(whole.model, served_by(full(), chain[:1]).model)["users"][1]
