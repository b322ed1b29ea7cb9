"""Text that a person wrote, or why it cannot be read."""

from __future__ import annotations

from pathlib import Path


class UnreadableText(Exception):
    """Its words are the cause, without the file's name."""


class NotUtf8(UnreadableText):
    """The file is there and is no text in UTF-8."""


def read_text(path: Path) -> str:
    """Raises UnreadableText."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as wrong:
        raise UnreadableText(wrong.strerror or str(wrong)) from None
    except UnicodeDecodeError:
        raise NotUtf8("it is not UTF-8 text") from None
    except ValueError as wrong:
        # A name that no file can have.
        raise UnreadableText(str(wrong)) from None
