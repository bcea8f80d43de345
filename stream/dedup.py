"""PURE: which events were seen before, bounded by time."""

Key = tuple[str, str]
"""Topic and event id."""


class Seen:
    """Remembers keys for at least one horizon and at most two, in two generations."""

    def __init__(self, horizon_ms: int) -> None:
        self._horizon_ms = horizon_ms
        self._older: set[Key] = set()
        self._newer: set[Key] = set()
        self._turn_ts: int | None = None

    def __len__(self) -> int:
        return len(self._older) + len(self._newer)

    def is_new(self, key: Key) -> bool:
        """Whether the key is seen for the first time; remembers it."""
        if key in self._newer or key in self._older:
            return False
        self._newer.add(key)
        return True

    def advance(self, watermark: int) -> None:
        """Forget the older generation once the watermark has passed a further horizon."""
        if self._turn_ts is None:
            self._turn_ts = watermark + self._horizon_ms
        elif watermark >= self._turn_ts:
            self._older, self._newer = self._newer, set()
            self._turn_ts = watermark + self._horizon_ms
