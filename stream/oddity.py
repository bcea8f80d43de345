"""PURE: how unlike others a user behaves, by half-space trees (Tan, Ting, Liu, IJCAI 2011) of river.

The trees' splits follow from the seed alone, and their masses are plain counts; so a snapshot is the masses,
2 kB, and a successor grows the same trees and puts them back. Growing them again from a reservoir of users
would not give the same scores, and take tens of milliseconds each time.
"""

from typing import Any

import numpy as np

TREES, HEIGHT, WINDOW, SEED = 8, 5, 256, 0
"""Small, for features few and bounded; nothing is odd before the first window of users is full."""


def prepare() -> None:
    """Import river's trees: a second, which a process that will ask for scores spends before it begins."""
    from river.anomaly import HalfSpaceTrees  # noqa: F401


class Oddity:
    """Anomaly scores of behaviours, each a list of shares in [0, 1].

    >>> odd = Oddity(width=2)
    >>> for n in range(600):
    ...     _ = odd.score([0.2 + n % 7 / 50, 0.1])
    >>> odd.score([0.9, 0.9]) > odd.score([0.25, 0.1])
    True
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._seen = 0
        self._masses = b""
        self._forest: Any = None  # grown when it is first needed

    def score(self, shares: list[float]) -> float:
        """Return how odd a behaviour is, in [0, 1], and learn it."""
        if self._forest is None:
            self._forest = self._grow()
        features = dict(enumerate(shares))
        odd: float = self._forest.score_one(features)
        self._forest.learn_one(features)
        self._seen += 1
        return odd

    def snapshot(self) -> dict[str, Any]:
        """Return the masses of all nodes, oldest tree first, depth first, as bytes of uint16 [nodes, 2]."""
        if self._forest is not None:
            nodes = [(node.r_mass, node.l_mass) for tree in self._forest.trees for node in tree.iter_dfs()]
            self._masses = np.array(nodes, "<u2").tobytes()
        return {"seen": self._seen, "masses": self._masses}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self._seen, self._masses, self._forest = state["seen"], state["masses"], None

    def _grow(self) -> Any:
        # Most processes never ask for a score; those that do have called `prepare`.
        from river.anomaly import HalfSpaceTrees

        forest = HalfSpaceTrees(n_trees=TREES, height=HEIGHT, window_size=WINDOW, seed=SEED)
        if self._masses:
            forest.learn_one(dict.fromkeys(range(self._width), 0.0))  # the first one grows the trees
            masses = iter(np.frombuffer(self._masses, "<u2").reshape(-1, 2).tolist())
            for tree in forest.trees:
                for node in tree.iter_dfs():
                    node.r_mass, node.l_mass = next(masses)
            forest.counter = self._seen % WINDOW
            forest._first_window = self._seen < WINDOW
        return forest
