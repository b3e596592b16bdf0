"""Encryption of small secrets at rest: Fernet (AES-128-CBC with an HMAC), with several keys, the newest first.

https://cryptography.io/en/latest/fernet/. The library is loaded only if a key is given.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from typing import Any

from bot.errors import Permanent

NOT_INSTALLED = (
    "TICKERTAPE_SECRETS needs one more package: pip install 'tickertape[postgres]' (or pip install cryptography)"
)

# Hexadecimal digits of a key's name.
NAME_DIGITS = 12


class CannotOpen(Permanent):
    """None of the keys opens it: its key is missing, or it was changed."""


class SealedBox:
    """Seals with the first of `keys`, and opens with any. Keys are 32 bytes in URL-safe base64.

    Raises `Permanent` with a line for the operator if the library is missing or a key is malformed.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        fernet = _import_fernet()
        try:
            self._keys = [fernet.Fernet(key) for key in keys]
        except ValueError:
            raise Permanent("TICKERTAPE_SECRETS holds a key of another form") from None
        if not self._keys:
            raise Permanent("TICKERTAPE_SECRETS holds no key")
        self._invalid: type[Exception] = fernet.InvalidToken
        # Tell which key sealed something, and nothing else: the keys are random.
        self.names = tuple(hashlib.sha256(key.encode()).hexdigest()[:NAME_DIGITS] for key in keys)

    @property
    def newest(self) -> str:
        """The name of the key that seals."""
        return self.names[0]

    def seal(self, text: str) -> bytes:
        """Encrypt and sign a text; twice the same text gives different bytes."""
        sealed: bytes = self._keys[0].encrypt(text.encode())
        return sealed

    def open(self, sealed: bytes) -> str:
        """The text of sealed bytes. Raises `CannotOpen`."""
        for key in self._keys:
            if (text := self._try(key, sealed)) is not None:
                return text
        raise CannotOpen("no key of TICKERTAPE_SECRETS opens it")

    def _try(self, key: Any, sealed: bytes) -> str | None:  # noqa: ANN401 (the library is loaded late)
        try:
            opened: bytes = key.decrypt(sealed)
            return opened.decode()
        except (self._invalid, ValueError):
            return None


def _import_fernet() -> Any:  # noqa: ANN401 (a module)
    try:
        return importlib.import_module("cryptography.fernet")
    except ImportError:
        raise Permanent(NOT_INSTALLED) from None
