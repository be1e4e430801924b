"""Why an image could not be made of a file."""

from stages.artifacts.quarantine import Reason


class Refused(Exception):  # noqa: N818 - not an error of the program
    """The file is quarantined. ``detail`` never holds a value from the file."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.name)
        self.reason = reason
        self.detail = detail
