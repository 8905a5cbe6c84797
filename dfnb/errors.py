"""The one kind of failure a user can cause and can mend, and the one kind of end a user can ask for."""


class UserError(Exception):
    """A bad file, folder, setting or checkpoint: one clear line that names it and says what to do.

    The command line prints the line on standard error and ends with status 2.
    """


class Stopped(BaseException):
    """Ctrl-C or SIGTERM. No failure, so nothing that handles failures catches it; clean-up runs as ever."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
