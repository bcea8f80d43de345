"""SHELL: the same job in Quix Streams: a stateful apply, whose state holds the session; labels to a topic."""

from typing import Any

from quixstreams import Application, State, message_context

from tests.bench.stream import rival_fold


def main() -> None:
    """Run until ended."""
    app = Application(
        broker_address=rival_fold.BROKER,
        consumer_group=rival_fold.GROUP,
        auto_offset_reset="earliest",
        state_dir=f"build/quix/{rival_fold.GROUP}",
        loglevel="WARNING",
    )
    labels = app.topic(rival_fold.LABELS, key_serializer="bytes", value_serializer="bytes")
    folds = rival_fold.Folds()
    for name in rival_fold.TOPICS:
        topic = app.topic(name, key_deserializer="bytes", value_deserializer="bytes")

        def fold(value: bytes, state: State, name: str = name) -> list[tuple[bytes, bytes]]:
            event, told = folds.take(name, message_context().partition, value)
            state.set_bytes("session", folds.session(event.user_id))
            return [rival_fold.encoded(label) for label in told]

        told: Any = app.dataframe(topic).apply(fold, stateful=True, expand=True)
        told.apply(lambda pair: pair[1]).to_topic(labels)
    app.run()


if __name__ == "__main__":
    main()
