"""Passwords and tokens: who it is that calls, and tokens that are refused since somebody logged out."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import jwt
from argon2.exceptions import InvalidHashError, VerificationError

from aiida_finales.exceptions import LoginError, TooManyFailuresError, explain_os_error
from aiida_finales.server.access import users as users_file
from aiida_finales.server.access.private_files import KeptDocument, hold_lock
from aiida_finales.server.access.users import User, UserStore
from aiida_finales.server.errors import LOGGER
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
#: passwords that are hashed at the same time, 64 MiB each; and those that wait for it, at most
HASHES, MOST_HASHING = 2, 40
#: s for which the place of a right login is known, and how many places of one name are
DAY = 86400.0
KNOWN, MOST_PLACES = 30 * DAY, 20
#: s for which a revoked token is remembered after its end: a clock that was ahead forgets none that counts again
AFTER_END = 30 * DAY
#: characters of a name that are told apart: no user has more, and what was typed is remembered
LONGEST_NAME = 100
#: what is not looked at: a clock that was set back would refuse who has just logged in
UNSEEN = {"require": CLAIMS, "verify_iat": False}


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
        self._failures = Failures()
        self._known = KnownPlaces(settings.folder)
        self._hashing = asyncio.Semaphore(HASHES)
        self._n_hashing = 0
        self._lock = Lock()

    async def admit(self, name: str, password: str, address: str, proof: str = "") -> str:
        """Return a token, as :meth:`log_in` does, while others are served; few hash at the same time, few wait for it.

        :raises LoginError: when name or password is wrong.
        :raises TooManyFailuresError: when that happened too often, or too many want to log in at this moment.
        """
        user = self._find_remembered(name, password)
        if user is not None:
            return self.issue(user)
        if self._n_hashing >= MOST_HASHING:
            raise TooManyFailuresError(1.0)
        self._n_hashing += 1
        try:
            async with self._hashing:
                return await asyncio.to_thread(self.log_in, name, password, address, proof)
        finally:
            self._n_hashing -= 1

    def log_in(self, name: str, password: str, address: str, proof: str = "") -> str:
        """Return a token.

        Takes some 50 ms when the login is not remembered, whether or not there is such a user.

        :param proof: a token of before, also one that has expired: who has it is told from those who guess.
        :raises LoginError: when name or password is wrong.
        :raises TooManyFailuresError: when that happened too often, for this name or from this address.
        """
        user = self._find_remembered(name, password)
        if user is not None:
            return self.issue(user)
        user, address = self._users.find(name), place_of(address)
        origins = self._find_origins(user, name, address, proof)
        self._failures.demand_patience(origins)
        is_right = self._verify(user.password if user else self._nobody, password)
        if user is None or not is_right:
            self._failures.note(origins)
            raise LoginError(REFUSED)
        self._known.add(name, address)
        with self._lock:
            _forget_oldest(self._remembered)
            self._remembered[self._digest(user, password)] = time.monotonic() + self._settings.login_memory
        return self.issue(user)

    def _find_origins(self, user: User | None, name: str, address: str, proof: str) -> list[Origin]:
        """Return what a wrong login counts for.

        Who guesses from many places is stopped by the name. So that this locks out nobody for ever, who has logged in
        before is counted alone: known by a token of before, else by the address.
        """
        allowed, window = self._settings.failures_allowed, self._settings.failure_window
        name = name[:LONGEST_NAME]
        known = self._read_proof(proof, user)
        if known is not None:
            return [Origin(f"proof {known}", allowed, window)]
        origins = [Origin(f"address {address}", allowed, window), Origin(f"{name} from {address}", allowed, window)]
        if not self._known.has(name, address):
            origins.append(Origin(f"name {name}", self._settings.name_failures, self._settings.name_window))
        return origins

    def issue_proof(self, user: User) -> str:
        """Return a token that has expired already: nobody can call with it, but it tells who has been here before."""
        return self.issue(user, -1.0)

    def _read_proof(self, proof: str, user: User | None) -> str | None:
        """Return which token of this user it is, whether or not it has expired; ``None``: it is none."""
        options = {**UNSEEN, "verify_exp": False}
        try:
            claims = jwt.decode(proof, self._key, algorithms=[ALGORITHM], options=options)
        except (jwt.PyJWTError, ValueError):
            return None
        is_own = user is not None and claims["sub"] == user.name and claims.get("gen") == user.generation
        return str(claims["jti"]) if is_own else None

    def _find_remembered(self, name: str, password: str) -> User | None:
        user = self._users.find(name)
        return user if user is not None and self._is_remembered(self._digest(user, password)) else None

    def issue(self, user: User, lifetime: float | None = None) -> str:
        """Return a token of a user.

        :param lifetime: s; that of the settings when ``None``, and never more.
        """
        now = int(time.time())
        seconds = min(self._settings.token_lifetime, self._settings.token_lifetime if lifetime is None else lifetime)
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
            claims = jwt.decode(token, self._key, algorithms=[ALGORITHM], options=UNSEEN)
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

    def _digest(self, user: User, password: str) -> bytes:
        parts = [user.name, user.password, user.generation, password]
        return hmac.digest(self._memory_key, json.dumps(parts).encode(), hashlib.sha256)

    def _is_remembered(self, digest: bytes) -> bool:
        with self._lock:
            return self._remembered.get(digest, 0.0) > time.monotonic()


@dataclass(frozen=True)
class Origin:
    """Where wrong logins come from, and how many of them are borne.

    :param window: s within which they count.
    """

    name: str
    allowed: int
    window: float


class Failures:
    """Counts wrong logins by their origins."""

    def __init__(self) -> None:
        self._moments: defaultdict[str, deque[float]] = defaultdict(deque)
        self._lock = Lock()

    def demand_patience(self, origins: Iterable[Origin]) -> None:
        """Refuse a login whose origins have failed too often; that is no further failure.

        :raises TooManyFailuresError: saying for how long.
        """
        moment = time.monotonic()
        with self._lock:
            for origin in origins:
                failures = self._moments.get(origin.name, deque())
                while failures and failures[0] < moment - origin.window:
                    failures.popleft()
                if len(failures) >= origin.allowed:
                    raise TooManyFailuresError(failures[0] + origin.window - moment)

    def note(self, origins: Iterable[Origin]) -> None:
        """Count a wrong login."""
        with self._lock:
            _forget_oldest(self._moments)
            for origin in origins:
                self._moments[origin.name].append(time.monotonic())


class KnownPlaces:
    """From which addresses each name has logged in, in a file that outlives the server.

    :param folder: where the file is kept; made when absent.
    """

    def __init__(self, folder: Path) -> None:
        self._document: KeptDocument[dict[str, dict[str, float]]] = KeptDocument(folder / "known-places.json", dict, {})

    def has(self, name: str, address: str) -> bool:
        """Say whether a name has logged in from an address within the last weeks."""
        return self._document.read().get(name, {}).get(address, 0.0) > time.time() - KNOWN

    def add(self, name: str, address: str) -> None:
        """Remember a right login; the file is written once a day and place. Nobody is kept out by a full disk."""
        if self._document.read().get(name, {}).get(address, 0.0) > time.time() - DAY:
            return
        try:
            self._write(name, address)
        except OSError as error:
            LOGGER.warning("from where %s has logged in cannot be remembered: %s", name, explain_os_error(error))

    def _write(self, name: str, address: str) -> None:
        with hold_lock(self._document.path):
            places = self._document.read()
            own = {place: moment for place, moment in places.get(name, {}).items() if moment > time.time() - KNOWN}
            latest = sorted({**own, address: time.time()}.items(), key=lambda item: item[1])[-MOST_PLACES:]
            self._document.write({**places, name: dict(latest)})


def place_of(address: str) -> str:
    """Return what counts as one place: of IPv6 the network, because one computer has as many addresses as it wants."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or ip_network((found, 64), strict=False))
    return str(found)


def _forget_oldest(memory: dict[K, V]) -> None:
    while len(memory) >= MOST_REMEMBERED:
        memory.pop(next(iter(memory)))


class RevokedTokens:
    """The list, in a file: it outlives the server, and what another process changes is seen at once.

    An entry is left out when its token has expired weeks ago.

    :param folder: where the file is kept; made when absent.
    """

    def __init__(self, folder: Path) -> None:
        self._document: KeptDocument[dict[str, float]] = KeptDocument(folder / "revoked-tokens.json", dict, {})
        self._unwritten: set[str] = set()

    def __contains__(self, identity: object) -> bool:
        return identity in self._unwritten or identity in self._document.read()

    def add(self, identity: str, expires: float) -> None:
        """Refuse a token from now on.

        :param expires: s since the epoch; after that it is refused anyway, and some weeks later forgotten.
        :raises OSError: when that cannot be written: it is refused as long as this server runs.
        """
        self._unwritten.add(identity)
        with hold_lock(self._document.path):
            kept = {key: end for key, end in self._document.read().items() if end > time.time() - AFTER_END}
            self._document.write({**kept, identity: expires})
        self._unwritten.discard(identity)
