"""Who a drawn person is: face shape, skin, eyes, hair, brows, lips, drawn once and then fixed."""

from dataclasses import dataclass

import numpy as np

from dfnb.benchmark import anatomy

# How strong a local shape may be (standard deviation); a shape named here is rarer or gentler than the others.
_STRENGTH = {"head": 0.10, "forehead": 0.15, "eyebrows": 0.2, "eyes": 0.16, "nose": 0.18, "mouth": 0.17, "ears": 0.2}
_STRENGTH |= {"chin": 0.17, "cheek": 0.2, "neck": 0.12}
_GENTLE = {"eye-push1": 0.3, "eye-push2": 0.3, "eye-scale": 0.4, "eye-trans": 0.4, "eye-height": 0.45, "ear-shape": 0.3}
_GENTLE |= {"head-angle": 0.4, "head-trans": 0.2, "mouth-trans": 0.25, "nose-trans": 0.25, "neck-trans": 0.3}
_GENTLE |= {
    "head-age": 0.6,
    "neck-double": 0.5,
    "chin-prognathism": 0.4,
    "nose-septumangle": 0.5,
    "nose-compression": 0.5,
}
_GENTLE |= {"mouth-scale-depth": 0.4, "forehead-trans": 0.4, "eye-bag": 0.7, "neck-scale-vert": 0.3, "eye-corner1": 0.6}

STYLES = ("bald", "buzz", "short", "parted", "swept", "curly", "fringe", "bob", "long", "tied", "receding", "afro")
BEARDS = ("none", "stubble", "full", "goatee", "moustache")


@dataclass(frozen=True, eq=False)
class Person:
    """One identity. Colours are linear RGB 0..1; strengths 0..1 unless said otherwise."""

    key: int  # seeds everything procedural (pores, strands), and names the person
    age: float  # years
    female: float  # 0 man .. 1 woman
    ancestry: tuple[float, float, float]  # african, asian, caucasian, summing to 1
    shape: dict[str, float]  # weights of anatomy's shapes
    melanin: float  # 0 very light .. 1 very dark
    skin: tuple[float, float, float]
    redness: float
    freckles: float
    blemishes: float
    oil: float
    wrinkles: float
    lips: tuple[float, float, float]
    iris: tuple[float, float, float]
    iris_radius: float  # half-angle seen from the eyeball's centre, radians
    hair: str  # one of STYLES
    hair_colour: tuple[float, float, float]
    brow: float  # thickness and density, about 0.4..1.3
    beard: str  # one of BEARDS
    lash: float  # length, 0.5..1.3
    makeup: float

    @staticmethod
    def draw(rng: np.random.Generator) -> "Person":
        """A new identity: age 18 to 80, any gender and ancestry, plausible together."""
        key = int(rng.integers(2**31))
        rng = np.random.default_rng([key, 1])  # one draw from the caller's generator, however much is drawn here
        age = float(np.clip(18 + 62 * rng.beta(1.15, 1.7), 18, 80))
        female = float(np.clip(rng.choice([0.0, 1.0]) + rng.normal(0, 0.08) * 1.0, 0, 1))
        ancestry = rng.dirichlet([0.35, 0.35, 0.45])
        melanin = float(np.clip(ancestry @ [0.78, 0.27, 0.16] + rng.normal(0, 0.09), 0.02, 0.97))
        man = female < 0.5
        hair = _draw_hair(rng, man, age, ancestry)
        beard = "none"
        if man:
            beard = str(rng.choice(BEARDS, p=[0.46, 0.24, 0.14, 0.09, 0.07]))
        skin = _skin_colour(melanin, rng)
        return Person(
            key=key,
            age=age,
            female=female,
            ancestry=tuple(float(a) for a in ancestry),
            shape=_draw_shape(rng, age, female, ancestry),
            melanin=melanin,
            skin=skin,
            redness=float(rng.uniform(0.2, 1.0)),
            freckles=float(max(0.0, rng.normal(-0.2, 0.5)) if melanin < 0.35 else 0.0),
            blemishes=float(rng.uniform(0.1, 1.0)),
            oil=float(rng.uniform(0.25, 0.9)),
            wrinkles=float(np.clip((age - 28) / 45 + rng.normal(0, 0.1), 0, 1)),
            lips=_lip_colour(skin, melanin, female, rng),
            iris=_iris_colour(melanin, ancestry, rng),
            iris_radius=float(rng.uniform(0.42, 0.47)),
            hair=hair,
            hair_colour=_hair_colour(age, melanin, ancestry, rng),
            brow=float(rng.uniform(0.55, 0.95) if not man else rng.uniform(0.7, 1.25)),
            beard=beard,
            lash=float(rng.uniform(0.8, 1.2) if not man else rng.uniform(0.5, 0.85)),
            makeup=float(rng.uniform(0, 1) if female > 0.5 and rng.random() < 0.6 else 0.0),
        )


def _draw_hair(rng: np.random.Generator, man: bool, age: float, ancestry: np.ndarray) -> str:
    african = ancestry[0] > 0.55
    if man:
        weights = dict(bald=0.05, buzz=0.16, short=0.3, parted=0.2, swept=0.16, curly=0.06, fringe=0.07)
        if age > 42:
            weights |= dict(bald=0.16, receding=0.3, fringe=0.02)
        if african:
            weights = dict(bald=0.16, buzz=0.45, short=0.15, afro=0.24)
    else:
        weights = dict(long=0.34, bob=0.24, tied=0.2, fringe=0.1, curly=0.12, short=0.04 + 0.15 * (age > 50))
        if african:
            weights = dict(afro=0.3, tied=0.3, bob=0.15, long=0.15, buzz=0.1)
    names = list(weights)
    p = np.array([weights[n] for n in names])
    return str(rng.choice(names, p=p / p.sum()))


def _skin_colour(melanin: float, rng: np.random.Generator) -> tuple[float, float, float]:
    """Along measured-looking stops from very light to very dark, with a little hue of its own."""
    stops = np.array(
        [
            [0.74, 0.50, 0.40],
            [0.64, 0.40, 0.29],
            [0.50, 0.285, 0.185],
            [0.33, 0.17, 0.10],
            [0.175, 0.085, 0.05],
            [0.085, 0.042, 0.028],
        ]
    )
    x = melanin * (len(stops) - 1)
    i = min(int(x), len(stops) - 2)
    colour = stops[i] * (1 - x + i) + stops[i + 1] * (x - i)
    warm = rng.normal(0, 0.035)
    return tuple(float(c) for c in colour * [1 + warm * 0.4, 1, 1 - warm * 1.5])


def _lip_colour(skin, melanin: float, female: float, rng: np.random.Generator) -> tuple[float, float, float]:
    colour = np.array(skin) * [0.86, 0.60, 0.64]
    if female > 0.5 and rng.random() < 0.45:  # lipstick, from nude to red
        stick = np.array([0.45, 0.09, 0.10]) * rng.uniform(0.5, 1.1) + [0, rng.uniform(0, 0.07), rng.uniform(0, 0.08)]
        colour = colour * 0.45 + stick * 0.55 * (1 - 0.4 * melanin)
    return tuple(float(c) for c in colour)


def _iris_colour(melanin: float, ancestry: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    brown = np.array([0.085, 0.042, 0.02]) * rng.uniform(0.5, 1.5)
    if ancestry[2] < 0.6 or melanin > 0.3 or rng.random() < 0.4:
        return tuple(float(c) for c in brown)
    light = np.array([[0.12, 0.18, 0.26], [0.11, 0.16, 0.11], [0.17, 0.13, 0.06], [0.15, 0.18, 0.20]])
    return tuple(float(c) for c in light[rng.integers(4)] * rng.uniform(0.7, 1.15))


def _hair_colour(
    age: float, melanin: float, ancestry: np.ndarray, rng: np.random.Generator
) -> tuple[float, float, float]:
    dark = np.array([0.018, 0.013, 0.010])
    kinds = np.array(
        [
            [0.02, 0.014, 0.010],
            [0.045, 0.026, 0.015],
            [0.10, 0.055, 0.028],
            [0.19, 0.115, 0.055],
            [0.34, 0.23, 0.12],
            [0.17, 0.06, 0.022],
        ]
    )
    colour = dark
    if ancestry[2] > 0.5 and melanin < 0.4:
        colour = kinds[rng.choice(6, p=[0.10, 0.20, 0.25, 0.20, 0.16, 0.09])]
    colour = colour * rng.uniform(0.9, 1.5)
    grey = np.clip((age - 38) / 32 + rng.normal(0, 0.25), 0, 1) if age > 35 else 0.0
    if rng.random() < 0.25:
        grey *= 0.2  # dyed, or lucky
    return tuple(float(c) for c in colour * (1 - grey) + np.array([0.38, 0.37, 0.36]) * grey)


def _draw_shape(rng: np.random.Generator, age: float, female: float, ancestry: np.ndarray) -> dict[str, float]:
    """Weights of the shapes: phenotypes interpolate as anny's do, local ones are normal draws."""
    old = float(np.clip((age - 24) / 58, 0, 1))
    muscle = float(np.clip(rng.normal(0.5, 0.13), 0.1, 0.9))
    weight = float(np.clip(rng.normal(0.5 + 0.08 * old, 0.17), 0.05, 0.95))
    weights = phenotype_weights(female, old, muscle, weight, ancestry)
    pairs = anatomy.load().pairs
    shared: dict[str, float] = {}
    for low, high in pairs:
        group, name = high.split("/")
        sided = name[:2] in ("l-", "r-")
        trait = name[2:] if sided else name
        if "measure" in trait or ("-trans-in" in trait and not sided):
            continue
        strength = _STRENGTH[group]
        for start, factor in _GENTLE.items():
            if trait.startswith(start):
                strength *= factor
        if trait not in shared:
            shared[trait] = float(np.clip(rng.normal(0, strength * 1.35), -2.0 * strength, 2.0 * strength))
        value = shared[trait] + (rng.normal(0, 0.13 * strength) if sided else 0.0)  # faces are not quite symmetric
        weights[f"local:{high if value > 0 else low}"] = abs(float(value))
    return weights


def phenotype_weights(
    female: float, old: float, muscle: float, weight: float, ancestry: np.ndarray
) -> dict[str, float]:
    """Anny's interpolation of the phenotypes between young (old=0) and old (old=1) adults; all arguments 0..1."""

    def three(x: float, name: str) -> dict[str, float]:
        middle = 1 - abs(2 * x - 1)
        return {f"min{name}": max(0.0, 1 - 2 * x), f"average{name}": middle, f"max{name}": max(0.0, 2 * x - 1)}

    weights = {}
    for gender, g in (("male", 1 - female), ("female", female)):
        for when, a in (("young", 1 - old), ("old", old)):
            for m, mw in three(muscle, "muscle").items():
                for w, ww in three(weight, "weight").items():
                    weights[f"universal:{gender}-{when}-{m}-{w}"] = g * a * mw * ww
            for race, r in zip(("african", "asian", "caucasian"), ancestry, strict=True):
                weights[f"race:{race}-{gender}-{when}"] = g * a * float(r)
    return {k: float(v) for k, v in weights.items() if v > 0}
