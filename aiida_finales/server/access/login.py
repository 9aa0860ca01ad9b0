"""Passwords and tokens: who it is that calls, and tokens that are refused since somebody logged out."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections import defaultdict, deque
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import jwt
from argon2.exceptions import InvalidHashError, VerificationError

from aiida_finales.exceptions import LoginError, TooManyFailuresError
from aiida_finales.server.access import users as users_file
from aiida_finales.server.access.private_files import KeptDocument, hold_lock
from aiida_finales.server.access.users import User, UserStore
from aiida_finales.server.settings import ServerSettings

K = TypeVar("K")
V = TypeVar("V")

ALGORITHM = "HS256"
#: what a token must say: until when, whose, since when, and which one it is
CLAIMS = ["exp", "sub", "iat", "jti"]
#: as the published platform says it
REFUSED = "Authentication failed. Wrong username or password."
#: logins and addresses that are remembered at most; the oldest are forgotten
MOST_REMEMBERED = 10_000


class Gate:
    """Checks passwords, makes tokens, and says whose a token is.

    A login that was right is remembered for some minutes under a keyed digest that dies with this process, so that
    clients that log in before every call cost one hash in that time. A change of the user's password, or a revocation,
    makes another digest.

    :param key: signs the tokens.
    """

    def __init__(self, settings: ServerSettings, users: UserStore, key: str) -> None:
        self._settings = settings
        self._users = users
        self._revoked = RevokedTokens(settings.folder)
        self._key = key
        self._nobody = users_file.HASHER.hash(secrets.token_hex(16))
        self._memory_key = secrets.token_bytes(32)
        self._remembered: dict[bytes, float] = {}
        self._failures: defaultdict[str, deque[float]] = defaultdict(deque)
        self._lock = Lock()

    def log_in(self, name: str, password: str, address: str) -> str:
        """Return a token.

        Takes some 50 ms when the login is not remembered, whether or not there is such a user: call it in a thread.

        :raises LoginError: when name or password is wrong.
        :raises TooManyFailuresError: when that happened too often, for this name or from this address.
        """
        user = self._users.find(name)
        digest = self._digest(user, password)
        if user is not None and self._is_remembered(digest):
            return self.issue(user)
        origins = (f"address {address}", f"name {name} from {address}")
        self._demand_patience(origins)
        is_right = self._verify(user.password if user else self._nobody, password)
        if user is None or not is_right:
            self._note_failure(origins)
            raise LoginError(REFUSED)
        with self._lock:
            _forget_oldest(self._remembered)
            self._remembered[digest] = time.monotonic() + self._settings.login_memory
        return self.issue(user)

    def issue(self, user: User, lifetime: float | None = None) -> str:
        """Return a token of a user.

        :param lifetime: s; that of the settings when ``None``, and never more.
        """
        now = int(time.time())
        seconds = min(self._settings.token_lifetime, lifetime or self._settings.token_lifetime)
        claims = {"sub": user.name, "iat": now, "exp": now + int(seconds), "gen": user.generation}
        claims["jti"] = secrets.token_hex(16)
        return str(jwt.encode(claims, self._key, algorithm=ALGORITHM))

    def identify(self, token: str) -> User:
        """Return whose token it is.

        :raises LoginError: when it is forged, expired or revoked.
        """
        return self._read(token)[1]

    def revoke(self, token: str) -> None:
        """Refuse one token from now on; others of the same user stay as they are.

        :raises LoginError: when it is not accepted as it is.
        """
        claims, _ = self._read(token)
        self._revoked.add(claims["jti"], claims["exp"])

    def _read(self, token: str) -> tuple[dict[str, Any], User]:
        try:
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM], options={"require": CLAIMS})
        except (jwt.PyJWTError, ValueError) as error:
            raise LoginError(REFUSED) from error
        user = self._users.find(claims["sub"])
        if user is None or claims.get("gen") != user.generation or claims["jti"] in self._revoked:
            raise LoginError(REFUSED)
        return claims, user

    def _verify(self, hashed: str, password: str) -> bool:
        try:
            return users_file.HASHER.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    def _digest(self, user: User | None, password: str) -> bytes:
        parts = [user.name, user.password, user.generation, password] if user else ["", "", -1, password]
        return hmac.digest(self._memory_key, json.dumps(parts).encode(), hashlib.sha256)

    def _is_remembered(self, digest: bytes) -> bool:
        with self._lock:
            return self._remembered.get(digest, 0.0) > time.monotonic()

    def _demand_patience(self, origins: tuple[str, ...]) -> None:
        moment = time.monotonic()
        with self._lock:
            for origin in origins:
                failures = self._failures.get(origin, deque())
                while failures and failures[0] < moment - self._settings.failure_window:
                    failures.popleft()
                if len(failures) >= self._settings.failures_allowed:
                    raise TooManyFailuresError(failures[0] + self._settings.failure_window - moment)

    def _note_failure(self, origins: tuple[str, ...]) -> None:
        with self._lock:
            _forget_oldest(self._failures)
            for origin in origins:
                self._failures[origin].append(time.monotonic())


def _forget_oldest(memory: dict[K, V]) -> None:
    while len(memory) >= MOST_REMEMBERED:
        memory.pop(next(iter(memory)))


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
