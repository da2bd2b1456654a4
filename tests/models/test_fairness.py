from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from genre_vae.models.fairness import FairSemaphore


@pytest.mark.parametrize("at_once", [1, 2])
def test_places_keep_to_their_number_and_go_to_those_behind(at_once: int) -> None:
    """With one place: once the last to start has caught up, which is long before the end, none is
    ever more than an epoch ahead. With two the system may let one rest."""
    places, lock = FairSemaphore(at_once), threading.Lock()
    progress, running = [0] * 5, 0
    together, ahead = list[int](), list[tuple[int, int]]()
    start = threading.Barrier(5)

    def train(member: int) -> None:
        nonlocal running
        start.wait()
        with places:
            for epoch in range(1, 41):
                with lock:
                    running += 1
                    together.append(running)
                time.sleep(0.001)  # in which the others ask for a place
                with lock:
                    running -= 1
                    progress[member] = epoch
                    ahead.append((min(progress), max(progress) - min(progress)))
                places.pass_on(epoch)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(train, range(5)))
    assert progress == [40] * 5
    assert max(together) <= at_once
    if at_once == 1:
        level = next(at for at, (least, most) in enumerate(ahead) if least > 0 and most <= 1)
        assert max(most for _, most in ahead[level:]) == 1
        assert level < 150


def test_a_place_comes_back_from_one_that_failed() -> None:
    places = FairSemaphore(1)
    for _ in range(2):
        with pytest.raises(KeyError), places:
            raise KeyError
    with places:
        pass
