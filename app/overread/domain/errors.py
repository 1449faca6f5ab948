"""The one error a reader can act on."""


class UserError(Exception):
    """Something the reader can put right: a plain sentence and what to do next.

    Everything that is not a `UserError` is a fault of ours and goes to the log.
    """

    def __init__(self, title: str, hint: str = "") -> None:
        super().__init__(title, hint)
        self.title = title
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.title} {self.hint}".strip()


class Cancelled(Exception):
    """The work was called off; nothing of it is to be shown or kept."""
