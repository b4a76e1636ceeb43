"""The one frame in which text of untrusted origin is shown to a model."""

from __future__ import annotations

from typing import Final

from juggernaut.domain.errors import InvalidInput

NONCE_CHARS: Final = 16
LABEL_CHARS: Final = 200


def frame(text: str, label: str, nonce: str) -> str:
    """Put text between two lines that it cannot forge; `label` says where it comes from.

    The nonce must be random and new for each frame: who can guess it can end the frame. Raises
    InvalidInput when it is too short or stands in the text.
    """
    if len(nonce) < NONCE_CHARS or not nonce.isalnum():
        raise InvalidInput(
            f"the delimiter of a frame has {len(nonce)} characters: give {NONCE_CHARS} or more"
            " random letters and digits"
        )
    if nonce in text or nonce in label:
        raise InvalidInput(f"the text from {label[:LABEL_CHARS]!r} holds its own delimiter")
    source = "".join(mark if mark.isprintable() else "?" for mark in label)[:LABEL_CHARS]
    return f"<<<data {nonce} from: {source}\n{text}\n>>>end {nonce}"
