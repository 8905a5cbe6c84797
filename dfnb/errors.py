"""The one kind of failure a user can cause and can mend."""


class UserError(Exception):
    """A bad file, folder, setting or checkpoint: one clear line that names it and says what to do.

    The command line prints the line on standard error and ends with status 2.
    """
