"""Users: found or made. Every function takes the database session first."""

import secrets

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.models import User
from sleap_rtc.protocol.ids import new_id

DEV = "dev"
"""The provider of logins by name alone."""


async def user_of(session: AsyncSession, *, provider: str, subject: str, name: str, now: int) -> User:
    """The user whom `provider` calls `subject`; made if nobody was called so before."""
    query = select(User).where(User.provider == provider, User.subject == subject)
    found = (await session.scalars(query)).one_or_none()
    if found is not None:
        return found
    user = User(
        id=new_id("user", secrets.token_bytes(20)), provider=provider, subject=subject, name=name, created_at=now
    )
    try:
        async with session.begin_nested():
            session.add(user)
    except IntegrityError:  # the same person in the same instant, at a database with room for both
        return (await session.scalars(query)).one()
    return user
