"""`freshrank models diff | export | rollback | consolidate` over a real topic."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from learner import snapshots
from learner.archive import fetch, lineage
from learner.base import load_base, save_base
from learner.connections import connect_producer
from learner.draft import Draft
from learner.kafka import ModelSink
from learner.online import OnlineLearner
from learner.rollback import served_by
from learner.scorer import score
from learner.settings import LearnerSettings
from learner.update_settings import UpdateSettings
from schemas.checkpoint import Manifest
from schemas.environment import variable
from schemas.errors import CheckpointRefused
from stream.administration import create_topics
from stream.broker import EmbeddedBroker
from stream.commands.models import models
from stream.settings import Settings
from tests.drafts import manifest_of
from tests.tastes import ITEMS, base, slates, turned
from tests.tiny import embed
from tests.unit.learner.test_export import QUERIES
from tests.worker_fakes import manifest as named

BATCH = 32


def manifest(draft: Draft) -> Manifest:
    return msgspec.structs.replace(
        manifest_of(draft), model="default", created_ts=draft.examples_seen, offsets={"0": 1}
    )


class Published:
    """A learner that has published five versions, and kept a snapshot after the last."""

    def __init__(self, settings: LearnerSettings) -> None:
        self.settings = settings
        self.online = OnlineLearner(base(), embed, UpdateSettings(step=1e-3), settings.seed)
        self.online.put_items(ITEMS)
        self.versions: list[str] = []
        self.answers: list[Sequence[np.ndarray]] = []
        producer = connect_producer(settings)
        sink = ModelSink(producer, settings.prefix, lambda: 1)
        for number in range(5):
            self.online.learn(slates(BATCH, 3, turned, first=10_000 + number * BATCH))
            draft = self.online.checkpoint()
            sink.publish(lambda draft=draft: (manifest(draft), draft.payload))
            assert sink.wait(120)
            self.versions.append(draft.version)
            self.answers.append(self.answer(self.online))
        self.last = manifest(draft), draft.payload
        producer.close()
        snapshots.write(settings.snapshot_dir(base().hash), self.online.snapshot().parts(), {"0": 7})

    def answer(self, online: OnlineLearner) -> list[np.ndarray]:
        return score(online.ranker, online.knowledge, QUERIES, "cpu")

    def run(self, *arguments: str, exit_code: int = 0) -> Result:
        environment = {
            variable(name): getattr(self.settings, name) for name in ("broker", "prefix", "state_dir")
        }
        result = CliRunner().invoke(models, arguments, env=environment, catch_exceptions=False)
        assert result.exit_code == exit_code, result.output
        return result


@pytest.fixture
def published(embedded_broker: EmbeddedBroker, prefix: str, tmp_path: Path) -> Published:
    create_topics(Settings(broker=embedded_broker.address, prefix=prefix, partitions=1))
    settings = LearnerSettings(broker=embedded_broker.address, prefix=prefix, state_dir=str(tmp_path))
    save_base(base(), settings.base_dir)
    return Published(settings)


def test_an_older_version_is_published_again_and_the_learner_goes_on_from_it(published: Published) -> None:
    old = published.versions[1]
    output = published.run("rollback", old[:8]).output
    again = output.split()[1].rstrip(",")
    [whole] = fetch(published.settings, published.settings.prefix, "default", again, base().hash)
    assert (whole.manifest.parent, whole.manifest.metrics) == (None, {})
    found = snapshots.newest(published.settings.snapshot_dir(base().hash))
    assert found is not None
    assert found[1].offsets == {"0": 7}
    resumed = OnlineLearner(base(), embed, UpdateSettings(), 0)
    resumed.restore(found[0])
    resumed.put_items(ITEMS)
    for now, then, later in zip(
        published.answer(resumed), published.answers[1], published.answers[4], strict=True
    ):
        np.testing.assert_allclose(now, then, atol=4e-3)
        assert np.abs(now - then).max() < np.abs(now - later).max()
    assert list(resumed.learned_ids()) == list(published.online.learned_ids())
    resumed.learn(slates(BATCH, 3, turned, first=90_000))
    assert resumed.checkpoint().parent is None


def test_a_version_over_another_base_than_the_learners_is_not_published_again(published: Published) -> None:
    producer = connect_producer(published.settings)
    sink = ModelSink(producer, published.settings.prefix, lambda: 1)
    manifest, payload = published.last
    later = msgspec.structs.replace(manifest, version="a" * 16, base="of later", created_ts=10**9)
    sink.publish(lambda: (later, payload))
    assert sink.wait(30)
    producer.close()
    output = published.run("rollback", published.versions[1], exit_code=1).output
    assert f"expected base of later, the learner's by now, got {base().hash}" in output
    assert "published" not in output


def test_without_the_learners_snapshots_nothing_is_published_again(published: Published) -> None:
    directory = Path(published.settings.snapshot_dir(base().hash))
    for path in directory.iterdir():
        path.unlink()
    output = published.run("rollback", published.versions[1], exit_code=1).output
    assert "expected the learner's snapshots, found none" in output
    assert "published" not in output


def test_versions_are_compared_exported_and_folded(published: Published, tmp_path: Path) -> None:
    first, last = published.versions[0], published.versions[-1]
    assert "heads.project" in published.run("diff", first, last).output
    published.run("export", last, str(tmp_path / "lora"))
    assert (tmp_path / "lora" / "adapter_config.json").is_file()
    published.run("consolidate", last, str(tmp_path / "new"))
    folded = load_base(tmp_path / "new")
    knowledge = folded.knowledge(embed)
    knowledge.catalogue.put(ITEMS)
    answers = score(folded.ranker(), knowledge, QUERIES, "cpu")
    for now, then in zip(answers, published.answers[-1], strict=True):
        np.testing.assert_allclose(now, then, atol=4e-3)
    chain = fetch(published.settings, published.settings.prefix, "default", last, base().hash)
    assert [whole.manifest.version for whole in chain] == published.versions
    assert served_by(base(), chain).version == last


@pytest.mark.parametrize("snapshot_offset", [1, 7])
def test_a_learner_over_a_folded_base_begins_behind_its_version(
    published: Published, tmp_path: Path, snapshot_offset: int
) -> None:
    settings, last = published.settings, published.versions[-1]
    state = published.online.snapshot()
    snapshots.write(settings.snapshot_dir(base().hash), state.parts(), {"0": snapshot_offset})
    published.run("consolidate", last, str(tmp_path / "new"))
    folded = load_base(tmp_path / "new")
    found = snapshots.newest(settings.snapshot_dir(folded.hash))
    assert found is not None
    assert found[1].offsets == published.last[0].offsets == {"0": 1}
    online = OnlineLearner(folded, embed, UpdateSettings(), settings.seed)
    online.restore(found[0])
    online.put_items(ITEMS)
    # What is later than the version it must learn, and so must not believe to have learned.
    known = list(published.online.learned_ids()) if snapshot_offset == 1 else []
    assert list(online.learned_ids()) == known
    assert online.examples_seen == published.last[0].examples_seen
    assert online.learn(slates(BATCH, 3, turned, first=90_000)).examples
    assert "goes on from what it has" in published.run("consolidate", last, str(tmp_path / "new")).output


def test_a_version_that_is_gone_is_missed_by_name() -> None:
    with pytest.raises(CheckpointRefused, match="expected one version 'abc'"):
        lineage({}, "abc", "base")


def test_a_short_version_that_may_be_either_of_two_is_neither() -> None:
    manifests = {name: named(name) for name in ("abc1", "abc2", "abd3")}
    with pytest.raises(CheckpointRefused, match="expected one version 'abc', found abc1 and abc2"):
        lineage(manifests, "abc", "base")
    assert [one.version for one in lineage(manifests, "abd", "base")] == ["abd3"]
