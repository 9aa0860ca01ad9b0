"""End a session."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from aiida_finales.server.context import ContextDep, TokenDep, UserDep

router = APIRouter(prefix="/v1", tags=["access"])


@router.post("/logout")
async def log_out(context: ContextDep, token: TokenDep, _: UserDep) -> str:
    """Refuse the token of this call from now on; others of the same user stay as they are."""
    await asyncio.to_thread(context.gate.revoke, token)
    return "logged out"
