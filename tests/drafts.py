"""Checkpoints as a learner's loop sends them, without a loop."""

from learner.checkpoint import count_chunks
from learner.draft import Draft
from schemas.checkpoint import Manifest


def manifest_of(draft: Draft) -> Manifest:
    """What the loop would say of a draft."""
    return Manifest(
        model="m",
        version=draft.version,
        parent=draft.parent,
        base=draft.base,
        folded=draft.folded,
        created_ts=0,
        offsets={},
        examples_seen=draft.examples_seen,
        ranks=draft.ranks,
        metrics=draft.metrics,
        bytes=len(draft.payload),
        sha256=draft.sha256,
        chunks=count_chunks(len(draft.payload)),
    )
