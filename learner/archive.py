"""SHELL: checkpoints out of the models topic, by version, with all that they build on."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from learner import checkpoint
from learner.checkpoint import KIND, MANIFEST, Assembler
from learner.connections import Message, connect_consumer, partitions_of, poll, start_offset
from schemas import codec, topics
from schemas.access import Access
from schemas.checkpoint import Manifest
from schemas.errors import CheckpointRefused, InvalidRecord

_POLL_MS = 200


class Whole(NamedTuple):
    """A checkpoint."""

    manifest: Manifest
    payload: bytes


def fetch(access: Access, prefix: str, model: str, version: str, base: str) -> list[Whole]:
    """Return a version and what it builds on over a base, first things first: apply them in order.

    `version` may be shortened; `base` is a hash. The topic is read twice: for its manifests, and for what is
    wanted.

    Raises:
        CheckpointRefused: the version, or one that it builds on, is not in the topic.
        BrokerError: the broker does not answer.
    """
    manifests = {m.version: m for m in _manifests(access, prefix) if m.model == model}
    wanted = lineage(manifests, version, base)
    found: dict[str, Whole] = {}
    assembler, keys = Assembler(), {f"{model}/{one.version}/" for one in wanted}
    for message in _read(access, prefix):
        key = (message.key or b"").decode(errors="replace")
        if key[: key.rfind("/") + 1] in keys:
            whole = assembler.fold(message.key, message.value, message.headers)
            if whole is not None:
                found[whole[0].version] = Whole(*whole)
    missing = [one.version for one in wanted if one.version not in found]
    if missing:
        raise CheckpointRefused(f"models topic: expected the chunks of {missing}, found not all")
    return [found[one.version] for one in wanted]


def newest_base(access: Access, prefix: str, model: str) -> str | None:
    """Return the hash of the base under the newest version of a model; None where there is no version."""
    own = (manifest for manifest in _manifests(access, prefix) if manifest.model == model)
    newest = max(own, key=lambda manifest: manifest.created_ts, default=None)
    return None if newest is None else newest.base


def lineage(manifests: Mapping[str, Manifest], version: str, base: str) -> list[Manifest]:
    """Return the manifests that a version builds on, and its own, in the order to apply them over a base.

    These are its parents back to a full one, and the versions folded since into the base of that hash, each
    with its own.

    Raises:
        CheckpointRefused: one is not there, or several begin as `version` does.
    """
    matches = [name for name in manifests if name.startswith(version)] if version else []
    if len(matches) != 1:
        found = " and ".join(matches[:5]) or f"{len(manifests)} others"
        raise CheckpointRefused(f"models topic: expected one version {version!r}, found {found}")
    chain: list[Manifest] = []
    [name] = matches
    while name:
        if name not in manifests:
            raise CheckpointRefused(f"models topic: expected {name}, on which {version} builds; it is gone")
        first = manifests[name]
        chain.insert(0, first)
        name = first.parent or (first.folded if first.base != base else None) or ""
    return chain


def _manifests(access: Access, prefix: str) -> Iterator[Manifest]:
    for message in _read(access, prefix, lambda headers: headers.get(KIND) == MANIFEST):
        try:
            yield codec.decode(Manifest, message.value or b"")
        except InvalidRecord:
            continue  # no checkpoint of ours: the scorers have said so


def _read(
    access: Access,
    prefix: str,
    wanted: Callable[[Mapping[str, bytes]], bool] = lambda _headers: True,
) -> Iterator[Message]:
    """Every record of the models topic that is there now."""
    consumer = connect_consumer(access)
    try:
        partitions = partitions_of(consumer, prefix + topics.MODELS.name)
        consumer.assign(partitions)
        first, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
        for tp in partitions:
            consumer.seek(tp, start_offset(None, first[tp], ends[tp]))
        while any(consumer.position(tp) < ends[tp] for tp in partitions):
            yield from (message for message in poll(consumer, _POLL_MS) if wanted(dict(message.headers)))
    finally:
        consumer.close(timeout_ms=1_000)


def republished(whole: Whole, payload: bytes, created_ts: int) -> Manifest:
    """The manifest under which the state of an older version is published again, as a full checkpoint."""
    sha256 = checkpoint.content_hash(payload)
    return msgspec.structs.replace(
        whole.manifest,
        version=checkpoint.version_of(sha256),
        parent=None,
        created_ts=created_ts,
        metrics={},  # metrics are measured, never inherited
        bytes=len(payload),
        sha256=sha256,
        chunks=checkpoint.count_chunks(len(payload)),
        learned=[],
    )
