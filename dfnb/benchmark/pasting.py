"""The tools of the forgers: paste a face into a frame, with a recipe of what the tool gets wrong.

A tool takes a frame as the camera recorded it (so it has sensor noise) and a picture of the face to paste, which has
been through a "generator" of limited resolution (so it has less), and returns the forged frame with its ground truth
mask. What a tool gets wrong is drawn once a video (`draw_recipe`); only a little jitter changes by frame.

Nothing here is shared with the self-blended images a network is trained on.
"""

from dataclasses import dataclass, fields

import cv2
import numpy as np
from scipy.spatial import Delaunay

from dfnb.benchmark.video import grain, to_levels


@dataclass(frozen=True)
class Recipe:
    """What one tool run does right and wrong, fixed for a video. Lengths are shares of the face's height.

    detail: rows the generator spends on a face's height, pixels.
    blur: softness of its output, generator pixels.
    grain: share of the frame's own noise that the tool puts back on the pasted face, 0..1.
    colour: share of the colour difference between pasted face and frame that colour matching removes, 0..1.
    tint: gain left over by channel, as a fraction (0.02 is 2 % too bright).
    misfit: shift, scale and turn by which the pasted face is off (length, fraction, radians at once).
    jitter: the part of the misfit that changes from frame to frame.
    inset, soft: how far inside the outline blending begins, and over which length it becomes full.
    opacity: weight of the pasted face where blending is full, 0..1.
    poisson: 1 for gradient-domain blending (Perez et al. 2003), 0 for plain alpha blending.
    lab: 1 for colour matching in Lab (Reinhard et al. 2001), 0 in RGB.

    As the end of a range, `poisson` and `lab` are the share of videos that use them.
    """

    detail: float
    blur: float
    grain: float
    colour: float
    tint: float
    misfit: float
    jitter: float
    inset: float
    soft: float
    opacity: float = 1.0
    poisson: float = 0.0
    lab: float = 0.0


def draw_recipe(good: Recipe, bad: Recipe, rng: np.random.Generator) -> Recipe:
    """A video's recipe, between those of a good and of a bad tool.

    Most faults go together (a video is good or bad as a whole), each also varies by itself.
    """
    overall = rng.uniform()
    values = {}
    for field in fields(Recipe):
        low, high = getattr(good, field.name), getattr(bad, field.name)
        values[field.name] = low + (high - low) * (0.5 * overall + 0.5 * rng.uniform())
    for choice in ("poisson", "lab"):
        values[choice] = float(rng.uniform() < values[choice])
    return Recipe(**values)


@dataclass(frozen=True)
class View:
    """One face in one frame, as a forger's tool sees it.

    rgb: (H, W, 3) uint8. points: (V, 2) float32 pixels, the head's vertices (vertex k is the same point in everybody).
    face: (H, W) bool, where this person's face shows: not hair, clothes, background or somebody else.
    visible: (V,) bool, vertices that nothing hides.
    """

    rgb: np.ndarray
    points: np.ndarray
    face: np.ndarray
    visible: np.ndarray


@dataclass(frozen=True)
class Forged:
    """A forged frame, (H, W, 3) uint8, and where it may differ from the original, (H, W) bool."""

    rgb: np.ndarray
    mask: np.ndarray


def swap(
    target: View,
    source: View,
    outline: np.ndarray,
    anchors: np.ndarray | None,
    recipe: Recipe,
    rng: np.random.Generator,
    drift: np.ndarray,
) -> Forged:
    """Paste a generated face: the swaps by a generator, and, with the same person, Face2Face and NeuralTextures.

    source: what the generator renders: the same pose at about `recipe.detail` pixels a face height.
    outline: vertices whose hull in the target bounds the pasted part.
    anchors: vertices by which the source is laid on the target; None where both are the same head in the same place.
    drift: (4,) the video's misfit, see `draw_drift`. rng: the frame's own jitter and noise.
    Returns the target unchanged, with an empty mask, where the face doesn't show.
    """
    window, height = _window(target.points[outline], target.rgb.shape)
    if window is None:
        return Forged(target.rgb, np.zeros(target.face.shape, bool))
    if anchors is None:
        h, w = target.face.shape
        fit = np.diag([w / source.face.shape[1], h / source.face.shape[0], 1.0])
    else:
        fit = similarity(source.points[anchors], target.points[anchors])
    centre = target.points[outline].mean(axis=0)
    fit = _misfit(centre, height, recipe, drift, rng) @ fit
    fit = _translation(-window[0], -window[1]) @ fit  # source pixels -> window pixels

    # the generator's own pixel grid: `detail` rows a face height
    scale = min(recipe.detail / height, 1.0)
    size = (window[2] - window[0], window[3] - window[1])
    grid = np.diag([scale, scale, 1.0])
    small = (max(8, round(size[0] * scale)), max(8, round(size[1] * scale)))
    step = np.sqrt(abs(np.linalg.det((grid @ fit)[:2, :2])))
    picture = source.rgb
    if step < 0.8:  # a finer source is softened first, or it would alias
        picture = cv2.GaussianBlur(picture, (0, 0), 0.4 / step)
    picture = _warp(picture, grid @ fit, small, cv2.INTER_LINEAR).astype(np.float32)
    if recipe.blur > 0:
        picture = cv2.GaussianBlur(picture, (0, 0), recipe.blur)
    pasted = _warp(picture, np.linalg.inv(grid), size, cv2.INTER_CUBIC)
    shows = _warp(source.face.astype(np.float32), fit, size, cv2.INTER_LINEAR) > 0.5
    return _blend(target, window, pasted, shows, outline, height, recipe, rng)


def mesh_swap(
    target: View,
    source: View,
    outline: np.ndarray,
    landmarks: np.ndarray,
    recipe: Recipe,
    rng: np.random.Generator,
    drift: np.ndarray,
) -> Forged:
    """FaceSwap: the texture of a source frame pulled over the target's landmarks, triangle by triangle.

    landmarks: vertices used as landmarks where the source shows them; the target's carry the recipe's misfit.
    """
    window, height = _window(target.points[outline], target.rgb.shape)
    landmarks = landmarks[source.visible[landmarks]]
    if window is None or len(landmarks) < 8:
        return Forged(target.rgb, np.zeros(target.face.shape, bool))
    centre = target.points[outline].mean(axis=0)
    move = _misfit(centre, height, recipe, drift, rng)
    corners = target.points[landmarks].astype(np.float64) @ move[:2, :2].T + move[:2, 2] - window[:2]
    corners += rng.normal(0, 0.5 * recipe.jitter * height, corners.shape)  # a landmark detector trembles
    source_height = np.ptp(source.points[outline][:, 1])
    picture = source.rgb.astype(np.float32)
    softness = np.hypot(recipe.blur, 0.4 * max(source_height / recipe.detail - 1, 0))
    if softness > 0.1:
        picture = cv2.GaussianBlur(picture, (0, 0), softness)
    at = piecewise_affine(corners, source.points[landmarks], (window[3] - window[1], window[2] - window[0]))
    covered = ~np.isnan(at[..., 0])
    at = np.nan_to_num(at, nan=-1.0).astype(np.float32)
    pasted = cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shows = cv2.remap(source.face.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderValue=0)
    return _blend(target, window, pasted, covered & (shows > 0.5), outline, height, recipe, rng)


def draw_drift(rng: np.random.Generator) -> np.ndarray:
    """The direction of a video's misfit: (4,) x, y, scale, turn, each standard normal, cut at 2."""
    return np.clip(rng.standard_normal(4), -2, 2)


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The least-squares similarity (turn, scale, shift) that takes source points to target points (Umeyama 1991).

    source, target: (N, 2). Returns (3, 3) float64, to be applied to (x, y, 1). Without reflection.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    a, b = source.mean(axis=0), target.mean(axis=0)
    # a turn with scale is multiplication by a complex number, so the fit is one complex quotient
    z, w = (source - a) @ [1, 1j], (target - b) @ [1, 1j]
    factor = np.vdot(z, w) / np.vdot(z, z)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    out = np.eye(3)
    out[:2, :2], out[:2, 2] = linear, b - linear @ a
    return out


def piecewise_affine(corners: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Linear interpolation over the Delaunay triangles of `corners`, at every pixel.

    corners: (N, 2) x, y in pixels; values: (N, D). Returns shape + (D,) float64, NaN outside the corners' hull.
    """
    triangles = Delaunay(corners)
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    pixels = np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float64)
    found = triangles.find_simplex(pixels)
    inside = found >= 0
    transform = triangles.transform[found[inside]]  # (P, 3, 2): two barycentric rows and the origin
    two = np.einsum("pij,pj->pi", transform[:, :2], pixels[inside] - transform[:, 2])
    weights = np.concatenate([two, 1 - two.sum(axis=1, keepdims=True)], axis=1)
    out = np.full((len(pixels), values.shape[1]), np.nan)
    out[inside] = np.einsum("pk,pkd->pd", weights, values[triangles.simplices[found[inside]]])
    return out.reshape(*shape, -1)


def match_colour(pasted: np.ndarray, target: np.ndarray, where: np.ndarray, share: float, lab: bool) -> np.ndarray:
    """Bring the pasted face's colour mean and spread to the target's inside `where`.

    pasted, target: (H, W, 3) float32 levels; where: (H, W) bool. share: 0 changes nothing, 1 matches in full.
    """
    if lab:
        pasted, target = _to_lab(pasted), _to_lab(target)
    a, b = pasted[where], target[where]
    gain = np.clip((b.std(axis=0) + 1e-3) / (a.std(axis=0) + 1e-3), 0.5, 2.0) ** share
    out = (pasted - a.mean(axis=0)) * gain + a.mean(axis=0) + share * (b.mean(axis=0) - a.mean(axis=0))
    out = out.astype(np.float32)
    return cv2.cvtColor(out, cv2.COLOR_Lab2RGB) * 255.0 if lab else out


def _blend(target, window, pasted, shows, outline, height, recipe: Recipe, rng) -> Forged:
    """Colour-match, put noise back, blend: the end of every tool. All but `target` in window pixels."""
    x0, y0, x1, y1 = window
    under = target.rgb[y0:y1, x0:x1]
    alpha = _alpha(target, window, shows, outline, height, recipe)
    where = alpha > 0.5
    if where.sum() < 16:
        return Forged(target.rgb, np.zeros(target.face.shape, bool))
    pasted = match_colour(pasted, under.astype(np.float32), where, recipe.colour, recipe.lab > 0)
    pasted = pasted * (1 + recipe.tint * np.array([1.0, 0.6, 0.3], np.float32) * rng.choice([-1, 1]))
    if recipe.poisson:
        pasted = _poisson(pasted, under, alpha)
    if recipe.grain > 0:
        pasted = pasted + recipe.grain * grain(pasted, noise_level(under, where), 0.0, 0.3, 0.6, rng)
    weight = (recipe.opacity * alpha)[..., None]
    out = target.rgb.copy()
    out[y0:y1, x0:x1] = to_levels(under * (1 - weight) + pasted * weight)
    mask = np.zeros(target.face.shape, bool)
    mask[y0:y1, x0:x1] = alpha > 0
    return Forged(out, mask)


def _alpha(target: View, window, shows, outline, height, recipe: Recipe) -> np.ndarray:
    """Blending weight (h, w) float32 in 0..1: the outline's hull where both faces show, softened inwards."""
    x0, y0, x1, y1 = window
    hull = cv2.convexHull(np.rint(target.points[outline] - (x0, y0)).astype(np.int32))
    inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillConvexPoly(inside, hull, 1)
    face = target.face[y0:y1, x0:x1].astype(np.uint8)
    # single hairs over the face don't end the pasted part: they are closed here, and kept on top below
    near = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(0.03 * height) + 1,) * 2)
    both = cv2.morphologyEx(face, cv2.MORPH_CLOSE, near) & cv2.morphologyEx(
        shows.astype(np.uint8), cv2.MORPH_CLOSE, near
    )
    inside &= both
    inside = (cv2.GaussianBlur(inside * 255, (0, 0), 0.04 * height) > 127).astype(np.uint8) & inside  # no corners
    inside[[0, -1]] = inside[:, [0, -1]] = 0  # the distance to the window's edge counts too
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    ramp = np.clip((distance - recipe.inset * height) / (recipe.soft * height), 0, 1)
    alpha = ramp * ramp * (3 - 2 * ramp)
    clear = face & cv2.erode(shows.astype(np.uint8), np.ones((3, 3), np.uint8))  # nor are the source's hairs pasted
    alpha *= cv2.GaussianBlur(clear.astype(np.float32), (0, 0), 0.7)
    return np.where(alpha < 1 / 64, 0, alpha).astype(np.float32)


def _poisson(pasted: np.ndarray, under: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Gradient-domain paste: the face's gradients, the frame's colours along the edge. (H, W, 3) float32."""
    region = (alpha > 0.02).astype(np.uint8) * 255
    x, y, w, h = cv2.boundingRect(region)
    clone = cv2.seamlessClone(to_levels(pasted), under, region, (x + w // 2, y + h // 2), cv2.NORMAL_CLONE)
    return clone.astype(np.float32)


def noise_level(rgb: np.ndarray, where: np.ndarray) -> float:
    """Standard deviation of the finest noise in a picture, levels: Immerkaer's (1996) Laplacian with a median."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return float(np.median(np.abs(cv2.filter2D(grey, -1, kernel)[where])) / 0.6745 / 6)


def _window(points: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray | None, float]:
    """The pixels worth touching (x0, y0, x1, y1), or None where too few are in the frame; the height of the points."""
    low, high = points.min(axis=0), points.max(axis=0)
    height = float(high[1] - low[1])
    margin = 0.15 * height
    x0, y0 = np.floor(np.clip(low - margin, 0, (shape[1], shape[0]))).astype(int)
    x1, y1 = np.ceil(np.clip(high + margin, 0, (shape[1], shape[0]))).astype(int)
    if x1 - x0 < 16 or y1 - y0 < 16:
        return None, height
    return np.array([x0, y0, x1, y1]), height


def _misfit(centre, height, recipe: Recipe, drift, rng) -> np.ndarray:
    off = recipe.misfit * drift + recipe.jitter * np.clip(rng.standard_normal(4), -2, 2)
    scale, turn = 1 + off[2], off[3]
    about = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    out = np.eye(3)
    out[:2, :2], out[:2, 2] = about, centre - about @ centre + off[:2] * height
    return out


def _translation(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def _warp(picture: np.ndarray, matrix: np.ndarray, size: tuple[int, int], how: int) -> np.ndarray:
    return cv2.warpAffine(picture, matrix[:2], (int(size[0]), int(size[1])), flags=how, borderMode=cv2.BORDER_REPLICATE)


def _to_lab(levels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.clip(levels, 0, 255).astype(np.float32) / 255.0, cv2.COLOR_RGB2Lab)
