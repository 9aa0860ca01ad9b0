"""What happens to every call before it reaches a router."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aiida_finales.server.errors import refuse


class BothSlashes:
    """Serve each path with and without a slash at the end.

    A redirect would cost clients a round trip and, behind a proxy that speaks TLS, their token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the slash off."""
        if scope["type"] == "http" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuse bodies that are too long, also those that do not say how long they are.

    :param limit: bytes.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body as long as it is short enough; then let the application read it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more and len(body) <= self._limit:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client went away
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if len(body) > self._limit:
            response = refuse(413, f"the body is longer than {self._limit} bytes")
            await response(scope, receive, send)
            return
        is_read = False

        async def replay() -> Message:
            nonlocal is_read
            if is_read:
                return await receive()
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)
