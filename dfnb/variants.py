"""The networks that are compared, by their taps: each is one entry here, and known everywhere by its name."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Variant:
    """One network of the comparison.

    back: how many steps before the last Block each earlier tap is; () taps the last Block alone. A step is a resolution
    or a Block, as `model.tap_reading` says. plain: the bare backbone, without attention branch and batch norm on the
    vector. label: its name in tables and figures; note: what is said about it once, in the README's table.
    colour, dashes, marker: how its curve is drawn; each must be enough to tell it from the others.
    """

    back: tuple[int, ...]
    label: str
    colour: str
    dashes: Any
    marker: str
    plain: bool = False
    note: str = ""


VARIANTS: dict[str, Variant] = {  # Okabe and Ito's colours, safe for the colour-blind
    "plain": Variant((), "plain backbone", "#444444", (0, (1, 1.3)), "X", plain=True, note="SBI's baseline"),
    "network1": Variant((), "network1", "#E69F00", (0, (5, 1.5)), "o"),
    "network2": Variant((2,), "network2", "#009E73", (0, (6, 1.5, 1, 1.5)), "s"),
    "proposed": Variant((1,), "proposed", "#0072B2", (0, (9, 1.5)), "^"),
}

# Further networks go here, as CONTRIBUTING.md shows.

Name = Literal[tuple(VARIANTS)]  # type: ignore[valid-type]
Head = Literal["linear", "arcface"]
