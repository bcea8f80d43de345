"""What anybody may have written is shown as it stands: to rich, `[bold]` is a style and `[/x]` an error."""

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from schemas.evaluation import Evaluation
from stream.cli import main
from stream.commands import dead_letters
from stream.storage import Store
from tests.worker_fakes import manifest

MARKUP = "[bold] and [/x]"


def run(*words: str, **env: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", **env}).invoke(main, words, catch_exceptions=False)


def test_why_a_checkpoint_was_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    refused = Evaluation(
        name="checkpoint_refused",
        value=1.0,
        count=1,
        model_version="v1",
        window_start=0,
        window_end=0,
        slice={"reason": MARKUP},
    )
    with closing(Store(url)) as store:
        store.create()
        store.put_model(manifest("v1"))
        store.put_evaluation(refused, 0, 0)
    assert MARKUP in run("models", "show", "v1", FRESHRANK_DATABASE=url).output


@pytest.mark.parametrize("words", [("list",), ("show", f"{MARKUP}/0/1")])
def test_a_letter_with_headers_of_anybody(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    letter = {"reason": MARKUP.encode(), "detail": b"", "topic": MARKUP.encode()}
    headers = [*letter.items(), ("partition", b"0"), ("offset", b"1"), (MARKUP, None)]
    message = SimpleNamespace(key=b"u", value=b"{", headers=headers, offset=0, timestamp=17)
    monkeypatch.setattr(dead_letters, "_messages", lambda _: iter([message]))
    assert run("dead-letters", *words).output.count(MARKUP) == 3
