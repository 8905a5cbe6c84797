"""Out-of-focus places to stand in front of: walls, rooms, shelves, windows, streets, gardens."""

import cv2
import numpy as np

from dfnb.benchmark.scene import Scene


def paint(scene: Scene, height: int, width: int) -> np.ndarray:
    """(H, W, 3) float32 linear colours, lit about as the scene's people are."""
    rng = np.random.default_rng([scene.key, 3])
    tall = 360  # painted at one size, so that a place looks alike whatever the frame's
    wide = int(np.ceil(tall * width / height / 2) * 2)
    picture = _KINDS[scene.background](rng, tall, wide).astype(np.float32)
    depth = {"wall": 1.5, "studio": 6.0, "curtain": 2.5}.get(scene.background, rng.uniform(4.0, 9.0))
    picture = _defocus(picture, depth)
    x = np.linspace(-1, 1, wide, dtype=np.float32)[None, :, None]
    y = np.linspace(-1, 1, tall, dtype=np.float32)[:, None, None]
    side = np.sign(scene.key_direction[0])
    picture = picture * (1 + 0.22 * side * x * abs(scene.key_direction[0]) - 0.10 * y)
    level = 0.45 + 0.5 * np.mean(scene.key_colour)
    return cv2.resize(picture * level, (width, height), interpolation=cv2.INTER_LINEAR)


def _defocus(picture: np.ndarray, radius: float) -> np.ndarray:
    """A lens's blur: a disc, so that small lights become discs."""
    r = int(np.ceil(radius))
    y, x = np.mgrid[-r : r + 1, -r : r + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return cv2.filter2D(picture, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE)


def _paint_tone(rng: np.random.Generator, low: float = 0.12, high: float = 0.6) -> np.ndarray:
    """A wall paint: near neutral, warm or cool, now and then coloured."""
    value = rng.uniform(low, high)
    hue = rng.uniform(0, 2 * np.pi)
    strength = abs(rng.normal(0, 0.10))
    tone = 1 + strength * np.array([np.cos(hue), np.cos(hue - 2.1), np.cos(hue + 2.1)])
    return (value * tone * [1.04, 1.0, 0.93]).clip(0.01, 1).astype(np.float32)


def _cloud(rng: np.random.Generator, h: int, w: int, cells: int, octaves: int = 3) -> np.ndarray:
    total = np.zeros((h, w), np.float32)
    for o in range(octaves):
        n = max(2, cells * 2**o)
        small = rng.standard_normal((n, max(2, int(n * w / h)))).astype(np.float32)
        total += cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC) * 0.55**o
    return total[..., None]


def _flat(rng: np.random.Generator, h: int, w: int, low: float = 0.12, high: float = 0.6) -> np.ndarray:
    base = np.broadcast_to(_paint_tone(rng, low, high), (h, w, 3)).copy()
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) / h
    cx, cy = rng.uniform(0, w / h), rng.uniform(-0.3, 0.6)
    pool = np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / rng.uniform(0.3, 1.2)))[..., None]
    return base * (0.72 + 0.5 * pool)


def _wall(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    picture = _flat(rng, h, w)
    kind = rng.integers(4)
    if kind == 0:
        picture *= 1 + 0.03 * _cloud(rng, h, w, 60, 2)
    elif kind == 1:  # bricks
        tone = _paint_tone(rng, 0.2, 0.4) * [1.25, 0.85, 0.7] if rng.random() < 0.6 else _paint_tone(rng, 0.4, 0.6)
        picture = picture / picture.mean() * (tone * 0.8)
        for row in range(0, h, 22):
            for column in range(-60, w, 60):
                at = column + (30 if (row // 22) % 2 else 0)
                brick = tone * rng.uniform(0.75, 1.2)
                cv2.rectangle(picture, (at + 2, row + 2), (at + 58, row + 20), brick.tolist(), -1)
    elif kind == 2:  # panels
        x = rng.integers(0, 80)
        while x < w:
            cv2.line(picture, (x, 0), (x, h), (picture[h // 2, min(x, w - 1)] * 0.7).tolist(), 2)
            x += int(rng.integers(70, 130))
        picture *= 1 + 0.02 * _cloud(rng, h, w, 30, 3)
    else:
        picture *= 1 + 0.06 * _cloud(rng, h, w, 6, 4)
    if rng.random() < 0.55:
        _frame(rng, picture)
    return picture


def _frame(rng: np.random.Generator, picture: np.ndarray) -> None:
    """A picture on the wall."""
    h, w = picture.shape[:2]
    fw, fh = int(rng.uniform(60, 130)), int(rng.uniform(60, 140))
    x = int(rng.choice([rng.uniform(-30, 0.22 * w), rng.uniform(0.72 * w, w - 30)]))
    y = int(rng.uniform(-20, 0.35 * h))
    cv2.rectangle(picture, (x + 5, y + 7), (x + fw + 5, y + fh + 7), (picture.mean((0, 1)) * 0.6).tolist(), -1)
    cv2.rectangle(picture, (x, y), (x + fw, y + fh), _paint_tone(rng, 0.01, 0.25).tolist(), -1)
    cv2.rectangle(picture, (x + 6, y + 6), (x + fw - 6, y + fh - 6), _paint_tone(rng, 0.4, 0.65).tolist(), -1)
    for _ in range(4):
        x0, y0 = x + int(rng.uniform(18, fw * 0.6)), y + int(rng.uniform(18, fh * 0.6))
        x1, y1 = min(x0 + int(rng.uniform(10, 60)), x + fw - 16), min(y0 + int(rng.uniform(10, 60)), y + fh - 16)
        cv2.rectangle(picture, (x0, y0), (x1, y1), _paint_tone(rng, 0.05, 0.5).tolist(), -1)


def _room(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    picture = _flat(rng, h, w, 0.18, 0.6)
    corner = int(rng.uniform(0.1, 0.9) * w)
    picture[:, corner:] *= rng.uniform(0.6, 0.85)
    if rng.random() < 0.6:
        x, dw = int(rng.uniform(0, w)), int(rng.uniform(70, 110))
        cv2.rectangle(picture, (x, int(0.12 * h)), (x + dw, h), _paint_tone(rng, 0.1, 0.6).tolist(), -1)
        cv2.rectangle(
            picture, (x + 12, int(0.2 * h)), (x + dw - 12, int(0.5 * h)), _paint_tone(rng, 0.08, 0.5).tolist(), -1
        )
    if rng.random() < 0.6:
        _frame(rng, picture)
    x = int(rng.uniform(0, w))
    sofa = _paint_tone(rng, 0.04, 0.4)
    cv2.rectangle(picture, (x - 150, int(0.68 * h)), (x + 120, h), sofa.tolist(), -1)
    cv2.ellipse(picture, (x - 15, int(0.68 * h)), (135, 16), 0, 180, 360, (sofa * 1.15).tolist(), -1)
    if rng.random() < 0.6:  # a lamp
        lx, ly = int(rng.choice([rng.uniform(0, 0.2), rng.uniform(0.8, 1.0)]) * w), int(rng.uniform(0.15, 0.45) * h)
        cv2.line(picture, (lx, ly), (lx, h), (0.05, 0.045, 0.04), 4)
        cv2.fillPoly(
            picture,
            [np.array([[lx - 20, ly - 30], [lx + 20, ly - 30], [lx + 32, ly + 22], [lx - 32, ly + 22]])],
            (1.7, 1.35, 0.85),
        )
        y, xx = np.mgrid[0:h, 0:w].astype(np.float32)
        glow = np.exp(-(((xx - lx) ** 2 + (y - ly) ** 2) / (2 * 80.0**2)))[..., None]
        picture += glow * np.array([0.22, 0.16, 0.08], np.float32)
    if rng.random() < 0.5:
        _plant(rng, picture, int(rng.uniform(0, w)), h, 150)
    return picture


def _plant(rng: np.random.Generator, picture: np.ndarray, x: int, base: int, tall: int) -> None:
    for _ in range(60):
        angle, reach = rng.normal(-1.57, 0.6), rng.uniform(0.3, 1.0) * tall
        tip = (int(x + reach * np.cos(angle)), int(base - 40 + reach * np.sin(angle)))
        green = np.array([0.05, 0.12, 0.03]) * rng.uniform(0.5, 2.2)
        cv2.ellipse(
            picture,
            tip,
            (int(rng.uniform(8, 20)), int(rng.uniform(3, 8))),
            float(np.degrees(angle)),
            0,
            360,
            green.tolist(),
            -1,
        )


_BOOKS = np.array(
    [[0.22, 0.05, 0.04], [0.04, 0.07, 0.15], [0.05, 0.11, 0.07], [0.32, 0.27, 0.19], [0.42, 0.39, 0.33],
     [0.03, 0.03, 0.035], [0.26, 0.15, 0.06], [0.12, 0.06, 0.035], [0.18, 0.19, 0.2], [0.33, 0.12, 0.05]]
)  # fmt: skip


def _shelf(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    wood = _paint_tone(rng, 0.05, 0.35) * [1.15, 0.95, 0.75]
    picture = np.broadcast_to(wood * 0.35, (h, w, 3)).astype(np.float32).copy()
    step = int(rng.uniform(75, 110))
    top = int(rng.uniform(-60, 0))
    for y in range(top, h + step, step):
        x = -10
        while x < w:
            if rng.random() < 0.12:
                x += int(rng.uniform(15, 50))
                continue
            bw, bh = int(rng.uniform(7, 20)), int(step * rng.uniform(0.55, 0.88))
            book = _BOOKS[rng.integers(len(_BOOKS))] * rng.uniform(0.5, 1.3)
            cv2.rectangle(picture, (x, y + step - bh), (x + bw, y + step), book.tolist(), -1)
            cv2.line(picture, (x, y + step - bh), (x, y + step), (book * 0.5).tolist(), 1)
            if rng.random() < 0.5:
                cv2.rectangle(
                    picture,
                    (x + 2, y + step - bh + 10),
                    (x + bw - 2, y + step - bh + 16),
                    (book * 0.5 + 0.2).tolist(),
                    -1,
                )
            x += bw + 1
        cv2.rectangle(picture, (0, y + step), (w, y + step + 7), wood.tolist(), -1)
    for x in range(int(rng.uniform(0, 200)), w, int(rng.uniform(200, 300))):
        cv2.rectangle(picture, (x, 0), (x + 8, h), (wood * 0.9).tolist(), -1)
    return picture * 1.1


def _window(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    picture = _flat(rng, h, w, 0.15, 0.45)
    x0 = int(rng.choice([rng.uniform(-0.3, 0.1), rng.uniform(0.5, 0.8)]) * w)
    x1, y0, y1 = x0 + int(rng.uniform(150, 240)), int(rng.uniform(-0.1, 0.12) * h), int(rng.uniform(0.6, 0.85) * h)
    view = _garden(rng, h, w) if rng.random() < 0.6 else _street(rng, h, w)
    view = view * 1.5 + np.array([0.25, 0.27, 0.3], np.float32)
    a, b, c, d = max(x0, 0), min(x1, w), max(y0, 0), min(y1, h)
    picture[c:d, a:b] = view[c:d, a:b]
    frame = _paint_tone(rng, 0.35, 0.6)
    cv2.rectangle(picture, (x0, y0), (x1, y1), frame.tolist(), 7)
    cv2.line(picture, ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1), frame.tolist(), 5)
    cv2.line(picture, (x0, (y0 + y1) // 2), (x1, (y0 + y1) // 2), frame.tolist(), 4)
    if rng.random() < 0.6:
        cloth = _paint_tone(rng, 0.2, 0.55)
        for edge in (x0 - 45, x1 - 10):
            for k in range(8):
                shade = cloth * (0.75 + 0.35 * np.cos(k * 2.2))
                cv2.rectangle(picture, (edge + k * 7, 0), (edge + k * 7 + 7, h), shade.tolist(), -1)
    return picture


def _street(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    y = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    picture = np.broadcast_to(np.array([0.5, 0.6, 0.75], np.float32) * (1.15 - 0.35 * y), (h, w, 3)).copy()
    x = -20
    while x < w:
        bw, top = int(rng.uniform(60, 140)), int(rng.uniform(-0.2, 0.4) * h)
        wall = _paint_tone(rng, 0.12, 0.42)
        cv2.rectangle(picture, (x, top), (x + bw, h), wall.tolist(), -1)
        for wy in range(top + 14, int(0.8 * h), 32):
            for wx in range(x + 10, x + bw - 14, 26):
                glass = (
                    np.array([1.0, 0.8, 0.45]) * rng.uniform(0.5, 1.0)
                    if rng.random() < 0.15
                    else wall * rng.uniform(0.25, 0.6)
                )
                cv2.rectangle(picture, (wx, wy), (wx + 14, wy + 20), glass.tolist(), -1)
        x += bw
    cv2.rectangle(picture, (0, int(0.82 * h)), (w, h), _paint_tone(rng, 0.1, 0.22).tolist(), -1)
    for _ in range(int(rng.uniform(3, 10))):
        at = (int(rng.uniform(0, w)), int(rng.uniform(0.6, 0.85) * h))
        light = np.array([1.0, 0.85, 0.6]) if rng.random() < 0.7 else np.array([1.0, 0.25, 0.15])
        cv2.circle(picture, at, int(rng.uniform(2, 4)), (light * rng.uniform(1.5, 4)).tolist(), -1)
    return picture


def _garden(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    y = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    green = np.array([0.13, 0.20, 0.06]) * rng.uniform(0.7, 1.3) * np.array([rng.uniform(0.8, 1.5), 1, 1])
    sky = np.array([0.62, 0.74, 0.9]) * rng.uniform(0.8, 1.2)
    line = rng.uniform(0.05, 0.5) + 0.09 * _cloud(rng, h, w, 5, 4)
    mix = 1 / (1 + np.exp(-(y - line) * 30))
    picture = (sky * (1 - mix) + green * mix * (1 + 0.38 * _cloud(rng, h, w, 14, 4)).clip(0.15)).astype(np.float32)
    ground = 1 / (1 + np.exp(-(y - rng.uniform(0.72, 0.95)) * 40))
    picture = picture * (1 - ground) + np.array([0.2, 0.26, 0.1]) * ground * (1 + 0.15 * _cloud(rng, h, w, 20, 3))
    for _ in range(int(rng.uniform(1, 4))):
        x = int(rng.uniform(0, w))
        cv2.line(
            picture, (x, int(0.2 * h)), (x + int(rng.normal(0, 12)), h), (0.06, 0.045, 0.03), int(rng.uniform(6, 20))
        )
    for _ in range(int(rng.uniform(20, 90))):  # gaps in the leaves
        at = (int(rng.uniform(0, w)), int(rng.uniform(0, 0.7) * h))
        cv2.circle(picture, at, int(rng.uniform(1, 3)), (sky * rng.uniform(0.7, 2.2)).tolist(), -1)
    return picture.astype(np.float32)


def _studio(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    tone = _paint_tone(rng, 0.05, 0.5)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32) / h
    pool = np.exp(
        -(((x - rng.uniform(0.3, 0.7) * w / h) ** 2 + (y - rng.uniform(0.3, 0.6)) ** 2) / rng.uniform(0.12, 0.5))
    )
    return tone * (0.5 + 0.75 * pool[..., None]) * (1 + 0.05 * _cloud(rng, h, w, 4, 3))


def _curtain(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    tone = _paint_tone(rng, 0.06, 0.5) * (1 + rng.normal(0, 0.15, 3)).clip(0.5, 1.5)
    x = np.arange(w, dtype=np.float32)[None]
    y = np.arange(h, dtype=np.float32)[:, None]
    phase = 3 * _cloud(rng, h, w, 2, 2)[..., 0] + x * rng.uniform(0.06, 0.14) + 0.004 * y
    return tone * (0.72 + 0.25 * np.sin(phase) + 0.1 * np.sin(2.7 * phase + 1))[..., None]


_KINDS = {
    "wall": _wall, "room": _room, "shelf": _shelf, "window": _window,
    "street": _street, "garden": _garden, "studio": _studio, "curtain": _curtain,
}  # fmt: skip
