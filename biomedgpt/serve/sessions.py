"""What the page keeps of its visitors: the image of each, in memory, for as long as he is there."""

import asyncio
import threading
import time
from weakref import WeakValueDictionary

from biomedgpt.serve.pictures import Picture

FORGET_AFTER = 1800
"""Seconds after which the image of a visitor who asks for nothing is forgotten."""
MAX_KEPT = 2 * 1024**3
"""Bytes of all images; beyond, those go that were not used for the longest time."""


class Sessions:
    """Images of visitors by session.

    Args:
        age: seconds without use after which an image is forgotten.
        size: bytes of all images; the one that came last is kept, whatever its size.
    """

    def __init__(self, *, age: float = FORGET_AFTER, size: int = MAX_KEPT) -> None:
        self.age = age
        self.size = size
        self._kept: dict[str, tuple[Picture, float]] = {}  # those first that were used least lately
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._kept)

    def turn(self, session: str) -> asyncio.Lock:
        """Return the lock to hold while something is done for a session; to be called by one loop.

        Whoever asks for it first has it first.
        """
        lock = self._turns.get(session)
        if lock is None:
            lock = self._turns[session] = asyncio.Lock()
        return lock

    def find(self, session: str) -> Picture | None:
        """Return the image of a session, None where there is none, or none any more."""
        with self._lock:
            self._sweep()
            if session not in self._kept:
                return None
            picture, _ = self._kept.pop(session)
            self._kept[session] = picture, time.monotonic()
            return picture

    def keep(self, session: str, picture: Picture | None) -> None:
        """Keep an image in place of the one that the session had; None to keep none."""
        with self._lock:
            self._kept.pop(session, None)
            if picture is not None:
                self._kept[session] = picture, time.monotonic()
            self._sweep()

    def _sweep(self) -> None:
        """Forget what is too old or too much, and look again later as long as there is anything."""
        total = sum(picture.size for picture, _ in self._kept.values())
        oldest = time.monotonic() - self.age
        for session, (picture, used) in list(self._kept.items()):
            if used > oldest and (total <= self.size or len(self._kept) == 1):
                break
            total -= picture.size
            del self._kept[session]
        if self._kept and self._timer is None:
            self._timer = threading.Timer(min(60, self.age), self._look)
            self._timer.daemon = True
            self._timer.start()

    def _look(self) -> None:
        with self._lock:
            self._timer = None
            self._sweep()
