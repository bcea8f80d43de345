"""PURE: the labels learned since a state that is held, as they were learned: to learn them again from it."""

from collections.abc import Iterator, Sequence

from schemas.labels import LabeledSlate

Batch = Sequence[LabeledSlate]
"""The labels of one update."""


class Journal:
    """Batches by the checkpoint that they were published in, and those that are in none yet.

    Labels are kept as they are, which costs nothing while all is well; a copy of the learner's state at every
    checkpoint would be tens of megabytes, several times a second.

    >>> journal = Journal()
    >>> journal.note([]), journal.publish(), journal.note([])
    (None, None, None)
    >>> journal.drop()
    >>> list(journal.published())
    [[[]]]
    """

    def __init__(self) -> None:
        self._published: list[list[Batch]] = []
        self._since: list[Batch] = []

    def __len__(self) -> int:
        """Labels that were published."""
        return sum(len(batch) for batches in self._published for batch in batches)

    def note(self, batch: Batch) -> None:
        """A batch has been learned."""
        self._since.append(batch)

    def publish(self) -> None:
        """What was learned since the last call is in a checkpoint that was accepted."""
        if self._since:
            self._published.append(self._since)
            self._since = []

    def drop(self) -> None:
        """What was learned since the last checkpoint will not be learned again."""
        self._since = []

    def published(self) -> Iterator[list[Batch]]:
        """The batches of each checkpoint, in order."""
        return iter(self._published)

    def clear(self) -> None:
        """All that was learned is in the state that is held."""
        self._published, self._since = [], []
