"""P6: what it is worth to publish every second, minute or hour, where users answer what they are shown.

All intervals play the same worlds with the same visits, stories and dice. A picture comes beside the figures.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from numpy.typing import NDArray

from learner.intervals import bootstrap, interval
from tests.bench.report import ROOT, Figure
from tests.closed_loop import Served, play, trained
from tests.closed_loop_world import LOOKED_AT, Laws, World
from tests.synthetic import START_TS

PICTURE = ROOT / "build" / "bench-closed-loop.png"
EVERY: Mapping[str, int | None] = {"1 s": 1, "1 min": 60, "1 h": 3_600, "never": None}
PAIRS = (("1 s", "1 min"), ("1 min", "1 h"))
SETTLED_S, BACK, BIN_S, WATCHED_S = 60, 0.9, 10, 200
"""After a switch the freshest arm counts as settled from SETTLED_S on; one is back at BACK of its level."""

Seeds = Sequence[Sequence[Served]]
Floats = NDArray[np.float64]


def closed_loop(short: bool) -> Iterator[Figure]:
    """Click rates with intervals over users, their gaps, regret, coverage and recovery; one run a seed."""
    seeds, laws, warm_s = (1, Laws(duration_s=120), 120) if short else (3, Laws(), 1_800)
    base = trained(warm_s)
    worlds = [World(laws, seed) for seed in range(seeds)]
    arms = {name: [play(world, base, every, world.seed) for world in worlds] for name, every in EVERY.items()}
    yield from _click_rates(arms)
    level = _share([one for run in arms["1 s"] for one in run if one.since_turn_s >= SETTLED_S])
    for name, runs in arms.items():
        regret = [_regret(run) * 3_600 / laws.duration_s for run in runs]
        covered = [100 * _coverage(world, run) for world, run in zip(worlds, runs, strict=True)]
        back = [_recovery(run, level) for run in runs]
        yield _figure(what=f"regret an hour, {name}", unit="clicks", runs=regret)
        yield _figure(what=f"coverage, {name}", unit="% of items", runs=covered)
        note = f"{WATCHED_S}: not back by then"
        yield _figure(what=f"back after a switch, {name}", unit="s", runs=back, note=note)
    draw(arms)


def _click_rates(arms: Mapping[str, Seeds]) -> Iterator[Figure]:
    replicates = _replicates(arms)
    between = {name: _bounds(replicates[:, n]) for n, name in enumerate(arms)}
    for name, runs in arms.items():
        low, high = between[name]
        rates = [100 * sum(one.clicks for one in run) / len(LOOKED_AT) / len(run) for run in runs]
        note = f"95 %: {low:.2f}-{high:.2f}"
        yield _figure(what=f"clicks of what was shown, {name}", unit="%", runs=rates, note=note)
    names = list(arms)
    for better, worse in PAIRS:
        apart = between[better][0] - between[worse][1]
        low, high = _bounds(replicates[:, names.index(better)] - replicates[:, names.index(worse)])
        note = f"paired difference {low:.2f}-{high:.2f}"
        what = f"gap of the intervals, {better} over {worse}"
        yield _figure(what=what, unit="points", runs=[apart], bar=0, note=note)


_figure = partial(Figure, row="closed loop")


def _replicates(arms: Mapping[str, Seeds]) -> Floats:
    """The click rate of every arm, in percent, on the same replicates of all users of all seeds."""
    runs = next(iter(arms.values()))
    users = [f"{seed}-{one.user}" for seed, run in enumerate(runs) for one in run]
    clicks = [np.array([one.clicks for run in runs for one in run]) for runs in arms.values()]

    def rate(clicks: Floats, weight: Floats) -> float:
        return float(100 * (weight @ clicks) / weight.sum() / len(LOOKED_AT))

    return bootstrap(users, [partial(rate, one) for one in clicks], seed=0, replicates=1_000)


def _bounds(values: Floats) -> tuple[float, float]:
    found = interval(values)
    assert found is not None
    return found


def _regret(run: Sequence[Served]) -> float:
    """Clicks that were to be expected of the best slates, less those of the slates shown."""
    return sum(one.best - one.expected for one in run)


def _share(run: Sequence[Served]) -> float:
    return sum(one.expected for one in run) / sum(one.best for one in run)


def _coverage(world: World, run: Sequence[Served]) -> float:
    return len({item_id for one in run for item_id in one.items}) / len(world.appeal)


def _curve(run: Sequence[Served]) -> list[float]:
    """Share of the best possible, by the time since what is wanted of the user's kind has changed."""
    bins: list[list[Served]] = [[] for _ in range(WATCHED_S // BIN_S)]
    for one in run:
        if one.since_turn_s < WATCHED_S:
            bins[int(one.since_turn_s // BIN_S)].append(one)
    return [_share(served) for served in bins]


def _recovery(run: Sequence[Served], level: float) -> float:
    """Seconds after a switch until the share of the best is back at `BACK` of a level."""
    back = (place for place, share in enumerate(_curve(run), start=1) if share >= BACK * level)
    return float(next(back, WATCHED_S // BIN_S) * BIN_S)


def draw(arms: Mapping[str, Seeds]) -> None:
    """Write the picture: click rates, the time after a switch, and regret as it grows."""
    figure = Picture(figsize=(12, 4), layout="constrained")
    rates, after, regret = figure.subplots(1, 3)
    for place, (name, values) in enumerate(zip(arms, _replicates(arms).T, strict=True)):
        low, high = _bounds(values)
        rates.errorbar(
            place, values.mean(), [[values.mean() - low], [high - values.mean()]], fmt="o", capsize=4
        )
        after.plot(
            np.arange(BIN_S, WATCHED_S + 1, BIN_S),
            _curve([one for run in arms[name] for one in run]),
            label=name,
        )
        _draw_regret(regret, arms[name])
    rates.set_xticks(range(len(arms)), list(arms))
    rates.set(title="clicks of what was shown, %", xlabel="publish interval")
    after.set(title="share of the best slate", xlabel="seconds since interests switched")
    regret.set(title="cumulative regret, clicks", xlabel="minutes")
    regret.legend(after.get_lines(), arms, title="publish interval", loc="upper left")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=120)


def _draw_regret(axes: Axes, runs: Seeds) -> None:
    served = sorted((one for run in runs for one in run), key=lambda one: one.ts)
    minutes = [(one.ts - START_TS) / 60_000 for one in served]
    axes.plot(minutes, np.cumsum([one.best - one.expected for one in served]) / len(runs))
