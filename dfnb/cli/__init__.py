"""The `dfnb` command. Imports lazily: `dfnb --help` doesn't wait for torch."""

# Each module adds its commands to `app`; `dfnb --help` lists them in the order of these imports.
import logging  # noqa: I001

from dfnb.cli.base import app
from dfnb.cli import report, steps, laboratories, own_video  # noqa: F401
from dfnb.common import shutdown, tuning


def main() -> None:
    """Run the command; how it ends is `dfnb.common.shutdown`'s business."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("dfnb").setLevel(logging.INFO)
    tuning.wait_asleep()
    with shutdown.in_one_line():
        app()
