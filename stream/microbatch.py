"""SHELL: many waiting callers, one call. Batches form by themselves while the previous one runs."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


PAUSE_S = 0.005
"""Between two looks at whether a batch may begin."""


class QueueFull(Exception):
    """More callers are waiting than may wait."""


class MicroBatcher(Generic[Q, A]):
    """Gathers questions and answers them together, in an executor, at most `largest` at a time.

    There is no timer: a question that finds the executor idle leaves at once, and those that arrive
    meanwhile make up the next batch. More than `waiting` questions are refused with `QueueFull`. No batch
    begins while `may_begin` says no: what is more urgent goes first.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Q]], Sequence[A]],
        executor: Executor,
        *,
        largest: int = 32,
        waiting: int = 256,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        self._answer = answer
        self._executor = executor
        self._largest = largest
        self._waiting = waiting
        self._may_begin = may_begin
        self._queue: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """Return the answer to one question; raises QueueFull, or what the answering function raised."""
        if len(self._queue) >= self._waiting:
            raise QueueFull(f"{len(self._queue)} questions are waiting, expected fewer than {self._waiting}")
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._queue.append((question, answer))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._queue:
            while not self._may_begin():
                await asyncio.sleep(PAUSE_S)
            batch = [self._queue.popleft() for _ in range(min(self._largest, len(self._queue)))]
            try:
                answers = await asyncio.get_running_loop().run_in_executor(
                    self._executor, self._answer, [question for question, _ in batch]
                )
            except Exception as error:  # each caller gets it, and decides
                _settle_all(batch, error)
            else:
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)


def _settle_all(batch: Sequence[tuple[Q, asyncio.Future[A]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
