"""Tokens that are refused although they have not expired: those of somebody who logged out."""

from __future__ import annotations

import time
from pathlib import Path

from aiida_finales.server.private_files import KeptDocument, hold_lock


class RevokedTokens:
    """The list, in a file: it outlives the server, and what another process changes is seen at once.

    An entry is left out when its token has expired anyway.

    :param folder: where the file is kept; made when absent.
    """

    def __init__(self, folder: Path) -> None:
        self._document: KeptDocument[dict[str, float]] = KeptDocument(folder / "revoked-tokens.json", dict, {})

    def __contains__(self, identity: object) -> bool:
        return identity in self._document.read()

    def add(self, identity: str, expires: float) -> None:
        """Refuse a token from now on.

        :param expires: s since the epoch; after that it is refused anyway.
        """
        with hold_lock(self._document.path):
            kept = {key: end for key, end in self._document.read().items() if end > time.time()}
            self._document.write({**kept, identity: expires})
