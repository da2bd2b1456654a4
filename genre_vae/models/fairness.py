"""A semaphore whose places go to those that are furthest behind."""

from __future__ import annotations

import threading


class FairSemaphore:
    """Lets a few of several trainings run at a time, those with the fewest epochs first.

    Five members on two cores then take two and a half times as long as one, not three times: none
    is left to run alone at the end. A training holds it as a context and calls `pass_on` after
    each epoch.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: list[tuple[int, int]] = []  # epochs done, thread
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._wait(0)

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def pass_on(self, epochs: int) -> None:
        """Give the place to a training with fewer epochs done, and wait for the next one."""
        with self._changed:  # released and requested at once, or one ahead could slip in between
            self._free += 1
            self._wait(epochs)

    def _wait(self, epochs: int) -> None:
        mine = epochs, threading.get_ident()
        self._waiting.append(mine)
        self._changed.notify_all()
        self._changed.wait_for(lambda: self._free > 0 and min(self._waiting) == mine)
        self._waiting.remove(mine)
        self._free -= 1
        self._changed.notify_all()
