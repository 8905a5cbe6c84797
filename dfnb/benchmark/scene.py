"""What a video holds fixed (light, background, camera, clothing) and how a head moves while it talks."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Pose:
    """One moment of one head."""

    yaw: float = 0.0  # radians, positive to the person's left (the picture's right)
    pitch: float = 0.0  # positive down
    roll: float = 0.0  # positive towards the picture's right shoulder
    x: float = 0.0  # face centre, units of the frame's height from the frame's centre, right
    y: float = 0.0  # and down
    size: float = 0.5  # face height (chin to hairline) / frame height
    actions: dict[str, float] = field(default_factory=dict)  # anny's facial actions, 0..1
    gaze: tuple[float, float] = (0.0, 0.0)  # yaw, pitch of the eyes relative to the head, radians


@dataclass(frozen=True, eq=False)
class Scene:
    """What a video holds fixed. Colours are linear RGB; directions are unit vectors in camera space."""

    key: int  # seeds the background's picture and the sensor's noise
    field_of_view: float  # vertical, radians
    key_direction: tuple[float, float, float]
    key_colour: tuple[float, float, float]
    fill_direction: tuple[float, float, float]
    fill_colour: tuple[float, float, float]
    rim_direction: tuple[float, float, float]
    rim_colour: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    softness: float  # of the key light's shadow
    background: str  # one of background.KINDS
    tint: tuple[float, float, float]
    exposure: float
    contrast: float
    noise: float  # standard deviation at mid grey, 0..255 levels
    vignette: float
    blur: float  # pixels at 320 px of height
    cloth: tuple[tuple[float, float, float], ...]  # a colour for each person, in turn
    neckline: tuple[float, ...]  # a neckline kind for each person, 0..1
    body_yaw: float


BACKGROUNDS = ("wall", "room", "shelf", "window", "street", "garden", "studio", "curtain")


def draw_scene(rng: np.random.Generator) -> Scene:
    """Light, background, camera and clothing that go together."""
    key = int(rng.integers(2**31))
    rng = np.random.default_rng([key, 2])
    side = rng.choice([-1.0, 1.0])
    background = str(rng.choice(BACKGROUNDS, p=[0.2, 0.17, 0.14, 0.13, 0.09, 0.1, 0.1, 0.07]))
    angle, height = rng.uniform(0.15, 1.0) * side, rng.uniform(0.25, 0.85)
    warm = rng.normal(0, 0.06)
    strength = rng.uniform(0.85, 1.3)
    key_colour = strength * np.array([1 + warm, 1.0, 1 - 1.3 * warm]) * np.array([1.03, 0.99, 0.93])
    fill = rng.uniform(0.10, 0.32) * np.array([0.96, 1.0, 1.06])
    rim = rng.uniform(0.0, 0.5) * np.array([1 + rng.normal(0, 0.08), 1.0, 1 + rng.normal(0, 0.08)])
    sky = rng.uniform(0.16, 0.34) * np.array([0.95, 1.0, 1.07])
    ground = sky * np.array([1.0, 0.85, 0.72]) * rng.uniform(0.35, 0.6)
    cloth = tuple(tuple(float(c) for c in _cloth_colour(rng)) for _ in range(6))
    return Scene(
        key=key,
        field_of_view=float(np.radians(rng.uniform(22, 38))),
        key_direction=_direction(angle, height),
        key_colour=tuple(float(c) for c in key_colour),
        fill_direction=_direction(-side * rng.uniform(0.4, 1.1), rng.uniform(-0.1, 0.3)),
        fill_colour=tuple(float(c) for c in fill),
        rim_direction=_direction(side * rng.choice([-1.0, 1.0]) * rng.uniform(2.2, 2.7), rng.uniform(0.3, 0.7)),
        rim_colour=tuple(float(c) for c in rim),
        sky=tuple(float(c) for c in sky),
        ground=tuple(float(c) for c in ground),
        softness=float(rng.uniform(0.08, 0.35)),
        background=background,
        tint=tuple(float(c) for c in 1 + rng.normal(0, 0.025, 3)),
        exposure=float(rng.uniform(0.88, 1.12)),
        contrast=float(rng.uniform(0.15, 0.6)),
        noise=float(rng.uniform(0.6, 2.3)),
        vignette=float(rng.uniform(0.0, 0.3)),
        blur=float(rng.uniform(0.25, 0.6)),
        cloth=cloth,
        neckline=tuple(float(n) for n in rng.uniform(0, 1, 6)),
        body_yaw=float(rng.normal(0, 0.12)),
    )


def _direction(yaw: float, height: float) -> tuple[float, float, float]:
    v = np.array([np.sin(yaw) * np.cos(height), np.sin(height), np.cos(yaw) * np.cos(height)])
    return tuple(float(c) for c in v)


def _cloth_colour(rng: np.random.Generator) -> np.ndarray:
    kinds = np.array(
        [[0.6, 0.6, 0.6], [0.02, 0.02, 0.025], [0.025, 0.035, 0.08], [0.12, 0.12, 0.13], [0.28, 0.04, 0.04],
         [0.05, 0.11, 0.07], [0.30, 0.36, 0.48], [0.38, 0.30, 0.2], [0.10, 0.16, 0.28], [0.45, 0.32, 0.34],
         [0.30, 0.29, 0.27]]
    )  # fmt: skip
    return kinds[rng.integers(len(kinds))] * rng.uniform(0.7, 1.2) * (1 + rng.normal(0, 0.06, 3))


def _smooth(rng: np.random.Generator, times: np.ndarray, rate: float) -> np.ndarray:
    """Band-limited noise of unit strength: sums of sines up to `rate` hertz with random phases."""
    count = 6
    frequency = rng.uniform(0.12, 1.0, count) * rate
    phase = rng.uniform(0, 2 * np.pi, count)
    weight = rng.uniform(0.5, 1.0, count) / np.sqrt(frequency / rate)
    weight /= np.sqrt(0.5 * (weight**2).sum())
    return (weight[:, None] * np.sin(2 * np.pi * frequency[:, None] * times + phase[:, None])).sum(0)


def _bumps(times: np.ndarray, centres: np.ndarray, widths: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Sum of smooth bumps over time."""
    z = (times[:, None] - centres) / widths
    return (heights * np.exp(-0.5 * z * z)).sum(1) if len(centres) else np.zeros_like(times)


def draw_motion(rng: np.random.Generator, frames: int, fps: float) -> list[Pose]:
    """Smooth talking-head motion, one Pose a frame.

    Yaw, pitch and roll stay within 25, 12 and 8 degrees; speech, smiles, brows, blinks and gaze have their own rhythms.
    """
    rng = np.random.default_rng(rng.integers(2**31, size=2))
    times = np.arange(frames) / fps
    span = max(times[-1], 0.1) if frames else 0.1
    limit = np.radians([25.0, 12.0, 8.0])
    centre = np.array([rng.normal(0, 8), rng.normal(0, 3.0), rng.normal(0, 2)])
    swing = np.array([rng.uniform(2, 7), rng.uniform(1, 3), rng.uniform(0.7, 2)])
    angles = [np.radians(c + s * _smooth(rng, times, 0.55)) for c, s in zip(centre, swing, strict=True)]
    yaw, pitch, roll = (lim * np.tanh(a / lim) for a, lim in zip(angles, limit, strict=True))
    size = rng.uniform(0.47, 0.60) * (1 + 0.012 * _smooth(rng, times, 0.25))
    x = rng.normal(0, 0.05) + 0.006 * _smooth(rng, times, 0.4)
    y = rng.normal(0.0, 0.02) + 0.004 * _smooth(rng, times, 0.4)
    talks = rng.random() < 0.8
    envelope = np.clip(0.6 + 0.8 * _smooth(rng, times, 0.5), 0, 1) * (rng.uniform(0.5, 1.0) if talks else 0.06)
    tracks: dict[str, np.ndarray] = {}
    tracks["jawOpen"] = envelope * np.clip(0.16 + 0.2 * _smooth(rng, times, 3.2), 0, 0.7)
    tracks["mouthFunnel"] = envelope * np.clip(0.2 * _smooth(rng, times, 2.4) - 0.05, 0, 0.4)
    tracks["mouthPucker"] = envelope * np.clip(0.2 * _smooth(rng, times, 2.0) - 0.1, 0, 0.3)
    tracks["mouthClose"] = 0.1 * tracks["jawOpen"]
    stretch = envelope * np.clip(0.25 * _smooth(rng, times, 2.2) - 0.05, 0, 0.4)
    tracks["mouthStretchLeft"], tracks["mouthStretchRight"] = stretch, stretch * rng.uniform(0.8, 1.0)
    lower = envelope * np.clip(0.25 + 0.3 * _smooth(rng, times, 2.6), 0, 0.7)
    tracks["mouthLowerDownLeft"], tracks["mouthLowerDownRight"] = lower, lower
    upper = envelope * np.clip(0.05 + 0.16 * _smooth(rng, times, 2.4), 0, 0.4)
    tracks["mouthUpperUpLeft"], tracks["mouthUpperUpRight"] = upper, upper
    smile = np.clip(rng.normal(0.15, 0.22) + 0.16 * _smooth(rng, times, 0.3), 0, 0.85)
    skew = rng.uniform(0.85, 1.15)
    tracks["mouthSmileLeft"], tracks["mouthSmileRight"] = smile, np.clip(smile * skew, 0, 1)
    tracks["cheekSquintLeft"] = tracks["cheekSquintRight"] = 0.7 * smile
    tracks["eyeSquintLeft"] = tracks["eyeSquintRight"] = np.clip(0.5 * smile + rng.uniform(0.0, 0.12), 0, 1)
    brow = _smooth(rng, times, 0.5)
    raised = np.clip(0.28 * brow - 0.05, 0, 0.7)
    tracks["browInnerUp"] = raised
    tracks["browOuterUpLeft"], tracks["browOuterUpRight"] = 0.8 * raised, 0.8 * raised * rng.uniform(0.6, 1.0)
    frown = np.clip(-0.22 * brow + rng.normal(0, 0.08), 0, 0.6)
    tracks["browDownLeft"], tracks["browDownRight"] = frown, frown
    # Lids: blinks every few seconds, and resting lids that cover the iris a little, so that nobody stares.
    count = rng.poisson(span / 3.2 + 0.2)
    blinks = rng.uniform(0, span, count)
    blink = np.clip(_bumps(times, blinks, np.full(count, 0.055), np.ones(count)), 0, 1)
    rest = float(np.clip(rng.normal(0.05, 0.04), 0, 0.16))
    look = np.stack([np.clip(_saccades(rng, times, span, s), -m, m) for s, m in ((0.12, 0.32), (0.05, 0.16))], 1)
    lids = np.clip(rest + 0.25 * np.clip(look[:, 1] / 0.3, -0.3, 1) + (1 - rest) * blink, 0, 1)
    tracks["eyeBlinkLeft"] = tracks["eyeBlinkRight"] = lids
    look[:, 0] -= 0.5 * (yaw - yaw.mean())  # the eyes hold what they look at while the head turns
    look[:, 1] -= 0.5 * (pitch - pitch.mean())
    return [
        Pose(
            yaw=float(yaw[i]),
            pitch=float(pitch[i]),
            roll=float(roll[i]),
            x=float(x[i]),
            y=float(y[i]),
            size=float(size[i]),
            actions={k: float(v[i]) for k, v in tracks.items()},
            gaze=(float(look[i, 0]), float(look[i, 1])),
        )
        for i in range(frames)
    ]


def _saccades(rng: np.random.Generator, times: np.ndarray, span: float, strength: float) -> np.ndarray:
    """A gaze angle that jumps now and then and rests between."""
    count = rng.poisson(span / 1.3) + 1
    starts = np.sort(np.concatenate([[-1.0], rng.uniform(0, span, count)]))
    values = rng.normal(0, strength, count + 1)
    values[rng.random(count + 1) < 0.5] = 0.0  # back to whom one talks to
    result = np.full(len(times), values[0])
    for start, before, after in zip(starts[1:], values[:-1], values[1:], strict=True):
        result += (after - before) / (1 + np.exp(-np.clip((times - start) / 0.02, -40, 40)))
    return result
