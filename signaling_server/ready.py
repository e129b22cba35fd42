"""``/ready``: whether this process can serve now; ``/health`` tells only that it lives."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel
from sqlalchemy import select

from signaling_server.deps import RESTARTING, Service, ServiceDep
from sleap_rtc.errors import StorageError

router = APIRouter(tags=["service"])
NOT_READY = 503


class Ready(BaseModel):
    """What ``/ready`` answers: what is wrong, a sentence each."""

    status: Literal["ready", "not_ready"]
    problems: list[str]


@router.get("/ready", responses={NOT_READY: {"model": Ready}})
async def ready(service: ServiceDep, response: Response) -> Ready:
    """Tell whether the database and the other processes can be reached, and new peers are taken: 503 if not."""
    problems = await _problems(service)
    if problems:
        response.status_code = NOT_READY
    response.headers["Cache-Control"] = "no-store"
    return Ready(status="not_ready" if problems else "ready", problems=problems)


async def _problems(service: Service) -> list[str]:
    found = [RESTARTING] if service.stopping else []
    apart = service.hub.problem()
    if apart is not None:
        found.append(apart)
    try:
        async with service.database.reading() as session:
            await session.execute(select(1))
    except StorageError as error:
        found.append(error.sentence)
    return found
