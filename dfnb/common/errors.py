"""The one kind of failure a user can cause and can mend, and the one kind of end a user can ask for."""

import sys
import unicodedata

_BREAKS = {"Zl", "Zp"}  # Unicode's line and paragraph separators


class UserError(Exception):
    """A bad file, folder, setting or checkpoint: one clear line that names it and says what to do.

    The command line prints the line on standard error and ends with status 2.
    """


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. No failure, so nothing that handles failures catches it; clean-up runs as ever."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def printable(text: str) -> str:
    """A stranger's words, such as a file's name, as one line that is safe to print.

    Control characters (which a terminal obeys), line ends, invisible characters and bytes that are no UTF-8 become
    escapes such as \\x1b and \\udcff; everything else stays.
    """
    return "".join(c.encode("unicode_escape").decode() if _unseen(c) else c for c in text)


def shown(text: str) -> str:
    """Text for standard output: on a terminal its lines are `printable`; into a file or a pipe it goes as it is."""
    return "\n".join(map(printable, text.split("\n"))) if sys.stdout.isatty() else text


def _unseen(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind[0] == "C" or kind in _BREAKS
