"""The networks that are compared, by their taps. Each is one entry here, used everywhere by its name."""

from dataclasses import dataclass

from dfnb.common.errors import UserError
from dfnb.networks.heads import HEADS


@dataclass(frozen=True)
class Variant:
    """One network of the comparison.

    back: how many steps before the last Block each earlier tap is; () taps the last Block alone. A step is a resolution
        or a Block, as `model.tap_reading` says.
    plain: the bare backbone, without attention branch.
    norm: batch norm on the embedding.
    """

    back: tuple[int, ...] = ()
    plain: bool = False
    norm: bool = True


VARIANTS: dict[str, Variant] = {
    "plain": Variant(plain=True, norm=False),  # SBI's baseline
    "plain-norm": Variant(plain=True),  # the same with batch norm on the embedding: network1 without attention
    "network1": Variant(),
    "network2": Variant(back=(2,)),
    "proposed": Variant(back=(1,)),
}

# Further networks go here, as CONTRIBUTING.md shows.


def check(variant: str, head: str) -> None:
    """Raises UserError where there is no such variant or head."""
    if variant not in VARIANTS:
        raise UserError(f"unknown variant {variant!r}; one of {', '.join(VARIANTS)}")
    if head not in HEADS:
        raise UserError(f"unknown head {head!r}; one of {', '.join(HEADS)}")
