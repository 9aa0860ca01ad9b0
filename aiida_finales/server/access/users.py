"""Who may use the server: names, hashed passwords, roles and the tenants for which somebody acts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from aiida_finales.exceptions import InputError, UnknownNodeError
from aiida_finales.schemas.names import check_name
from aiida_finales.server.access.private_files import KeptDocument, hold_lock

#: requester: posts requests and takes back its own; tenant: reserves and answers; operator: acts on what others hold;
#: archiver: reads everything at once; admin: all of it, and registers tenants
ROLES = ("requester", "tenant", "operator", "archiver", "admin")
NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
SHORTEST_PASSWORD = 8
#: argon2id with the parameters that RFC 9106 recommends where memory is scarce: some 50 ms and 64 MiB for each login
HASHER = PasswordHasher()


@dataclass(frozen=True)
class User:
    """Somebody who may log in.

    :param password: hash by argon2id, with its parameters and salt.
    :param roles: what this user may do.
    :param tenants: UUIDs of the tenants for which this user reserves and answers.
    :param generation: counts revocations; tokens of an earlier one are refused.
    """

    name: str
    password: str
    roles: tuple[str, ...]
    tenants: tuple[str, ...] = field(default=())
    generation: int = 0
    is_active: bool = True

    @property
    def who(self) -> str:
        """Under which name histories show this user, and under which it holds requests."""
        return f"user:{self.name}"

    def has_role(self, *roles: str) -> bool:
        """Return whether the user has one of these roles; an admin has all."""
        return "admin" in self.roles or bool(set(roles) & set(self.roles))


class UserStore:
    """The users of a server, in a file; what another process changes is seen at once.

    :param folder: where the file is kept; made when absent.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "users.json"
        self._document = KeptDocument(self.path, _read_users, [])

    def find(self, name: str) -> User | None:
        """Return a user who may log in, or ``None``."""
        user = self.all().get(name)
        return user if user is not None and user.is_active else None

    def all(self) -> dict[str, User]:
        """Return all users by name, also those who may not log in any more."""
        return self._document.read()

    def add(self, name: str, password: str, roles: Iterable[str], tenants: Iterable[str] = ()) -> User:
        """Add a user, or give an existing one another password, roles and tenants; its old tokens are refused.

        :raises InputError: when name, password or a role is not acceptable.
        """
        chosen = tuple(dict.fromkeys(roles))
        _check(name, password, chosen)
        hashed = HASHER.hash(password)

        def change(users: dict[str, User]) -> User:
            generation = users[name].generation + 1 if name in users else 0
            return User(name, hashed, chosen, tuple(dict.fromkeys(tenants)), generation)

        return self._change(change)

    def revoke(self, name: str, *, may_return: bool = False) -> User:
        """Refuse all tokens of a user, and further logins.

        :param may_return: refuse the tokens only: the user may log in again.
        :raises UnknownNodeError: naming the users that there are.
        """

        def change(users: dict[str, User]) -> User:
            user = _demand(users, name)
            return replace(user, generation=user.generation + 1, is_active=user.is_active and may_return)

        return self._change(change)

    def bind(self, name: str, tenant_uuid: str) -> User:
        """Let a user act for one more tenant.

        :raises UnknownNodeError: naming the users that there are.
        """

        def change(users: dict[str, User]) -> User:
            user = _demand(users, name)
            return replace(user, tenants=tuple(dict.fromkeys((*user.tenants, tenant_uuid))))

        return self._change(change)

    def _change(self, change: Callable[[dict[str, User]], User]) -> User:
        with hold_lock(self.path):
            users = dict(self.all())
            user = change(users)
            users[user.name] = user
            self._document.write([asdict(item) for item in users.values()])
        return user


def _read_users(documents: list[dict[str, Any]]) -> dict[str, User]:
    return {user.name: user for user in map(_read_user, documents)}


def _read_user(item: dict[str, Any]) -> User:
    """Return a user as the file has it; one who was written with a single role has this one."""
    roles, tenants = item.get("roles") or item.get("role") or (), item.get("tenants") or ()
    known = {key: value for key, value in item.items() if key in User.__dataclass_fields__}
    many = {"roles": (roles,) if isinstance(roles, str) else tuple(roles), "tenants": tuple(tenants)}
    return User(**{**known, **many})


def _demand(users: dict[str, User], name: str) -> User:
    if name not in users:
        raise UnknownNodeError(f"no user {name!r}; there are {', '.join(users) or 'none'}")
    return users[name]


def _check(name: str, password: str, roles: tuple[str, ...]) -> None:
    check_name(name, "user name")
    if not NAME.fullmatch(name):
        raise InputError(f"user name is {name!r}, but accepted are 1 to 64 letters, digits and _ . @ -")
    if len(password) < SHORTEST_PASSWORD:
        raise InputError(f"the password has {len(password)} characters, but accepted are {SHORTEST_PASSWORD} or more")
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        raise InputError(f"roles are {list(roles)}, but accepted is at least one of {', '.join(ROLES)}")
