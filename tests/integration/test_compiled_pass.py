"""A learner whose transformer is compiled learns what another one does."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from torch._inductor import config
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from learner.online import OnlineLearner
from learner.query import TASKS, Query
from learner.scorer import score
from learner.update_settings import UpdateSettings
from tests.tiny import ITEMS, base, embed, labels

QUERIES = [
    Query(user_id=s.user_id, session=s.session, ts=s.ts, candidates=s.slate) for s in labels(50, seed=9)
]


@pytest.fixture(autouse=True)
def _compiler_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with config.patch(cpp_cache_precompile_headers=False), suppress(OSError):
        yield
        Path(default_cache_dir()).rmdir()  # made all the same; somebody's own is not empty


def learner(**settings: bool) -> OnlineLearner:
    online = OnlineLearner(base(), embed, UpdateSettings(step=1e-3, **settings), seed=0)
    online.put_items(ITEMS)
    return online


def clicks(online: OnlineLearner) -> NDArray[np.float32]:
    return np.concatenate(score(online.ranker, online.knowledge, QUERIES, "cpu"))[:, TASKS.index("click")]


# torch's compiler warns of itself, in many places.
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_pass_learns_the_same_and_a_restored_learner_as_one_that_never_stopped() -> None:
    plain, through, resumed = learner(), learner(compile=True), learner(compile=True)
    stream = labels(300, seed=1, turned=1)
    batches = [stream[start : start + 50] for start in range(0, len(stream), 50)]
    for batch in batches[:3]:
        plain.learn(batch)
        through.learn(batch)
    resumed.restore(through.snapshot().payload)
    resumed.put_items(ITEMS)
    for batch in batches[3:]:
        for online in (plain, through, resumed):
            online.learn(batch)
    assert resumed.snapshot().payload == through.snapshot().payload
    taught, same, before = (clicks(online) for online in (plain, through, learner()))
    assert np.abs(taught - before).mean() > 0.02
    np.testing.assert_allclose(same, taught, atol=1e-4)
