"""How long to wait before trying again."""

from collections.abc import Callable, Iterator


def backoff(first: float, most: float, random: Callable[[], float]) -> Iterator[float]:
    """Pauses that double from `first` to `most`, each shortened by up to a half at random.

    The randomness keeps a hundred peers from coming back to a restarted service in the same instant.

    Args:
        first: the first pause, in seconds.
        most: the longest pause.
        random: gives numbers from 0 to 1, like `random.random`.
    """
    pause = first
    while True:
        yield min(pause, most) * (1 - random() / 2)
        pause = min(pause * 2, most)
