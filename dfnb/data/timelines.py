"""How long a video is, when each of its frames is shown, and which of them to take."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

_LONGEST_STILL = 10  # seconds; a longer gap is rather a jump of the clock, and counts as this


def places(frames: int, n: int) -> list[int]:
    """Indices evenly spaced over `frames` frames: the middles of n equal parts, or all where there are no more than n.

    Raises ValueError for n below 1.
    """
    if n < 1:
        raise ValueError(f"{n} frames can't be sampled; give 1 or more")
    n = min(n, frames)
    return [(2 * i + 1) * frames // (2 * n) for i in range(n)]


@dataclass(frozen=True)
class Timeline:
    """The frames of a video or image.

    count: how many there are. claimed: how many the header says, or None.
    times: when each is shown, in ticks, ascending, or None where unknown. keys: the times of key frames.
    fps: frames per second on average, 0.0 where unknown (an image). seconds: from the first frame to the last's end.
    tick: seconds. notes: what was done to show the frames, such as "interlaced: deinterlaced by bwdif"; most have none.
    """

    count: int
    claimed: int | None
    times: Sequence[int] | None
    keys: Sequence[int]
    fps: float
    seconds: float
    tick: Fraction = Fraction(1)
    notes: tuple[str, ...] = ()

    @cached_property
    def has_even_times(self) -> bool:
        """Whether all frames are within half a frame interval of a constant rate.

        That allows for times rounded to ticks, and for containers that misstate the last one.
        """
        if self.times is None or self.count < 3:
            return True
        early, late = self.count // 4, 3 * self.count // 4
        interval = (self.times[late] - self.times[early]) / (late - early)
        offsets = np.asarray(self.times, np.int64) - self.times[0] - interval * np.arange(self.count)
        return bool(np.ptp(offsets) <= interval * (1 + 1e-9))

    def places(self, n: int) -> list[int]:
        """n different frames, ascending: those shown at the middles of n equal parts of the video's duration.

        At a constant frame rate that is `places(count, n)`. All frames where there are no more than n. Of a frame that
        would be taken twice (a still) the next ones are taken. Gaps of over 10 s count as 10 s.
        Raises ValueError for n below 1.
        """
        if self.times is None or n >= self.count or self.has_even_times:
            return places(self.count, n)
        even = places(n, n)  # checks n
        gaps = np.minimum(np.diff(self.times), max(1, int(_LONGEST_STILL / self.tick)))
        times = [0, *np.cumsum(gaps).tolist()]
        taken: list[int] = []
        for i in even:
            # the last frame is taken to last as long as the others on average
            moment = (2 * i + 1) * times[-1] * self.count // (2 * n * (self.count - 1))
            shown = bisect_right(times, moment) - 1
            after = taken[-1] + 1 if taken else 0
            taken.append(min(max(shown, after), self.count - n + i))
        return taken

    def seconds_at(self, index: int) -> float:
        """When frame `index` is shown, in seconds after the first; by the average rate where no times are known."""
        if self.times is not None:
            return float((self.times[index] - self.times[0]) * self.tick)
        return index / self.fps if self.fps else 0.0
