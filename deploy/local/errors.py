"""Why a run on one machine cannot go on."""


class CannotRun(Exception):
    """The run stops; the message tells the person at the terminal what to do.

    `exit_code` is the code that the command ends with: 78 (bad settings, as in sysexits) comes
    from a service that refused its settings.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
