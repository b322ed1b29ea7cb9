"""The one exception that the bootstrap shows to a person."""


class ToolchainError(Exception):
    """Something a person has to settle; `str()` names the cause, `way_out` what to do about it."""

    def __init__(self, cause: str, way_out: str) -> None:
        super().__init__(cause)
        self.way_out = way_out
