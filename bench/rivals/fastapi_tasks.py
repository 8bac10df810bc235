"""Tasks in one FastAPI process: SQLAlchemy ORM on asyncpg, python-jose, slowapi.

The way such a service is usually written, with the same job: verify the caller's RS256 token, count
against a limit, validate, ask PostgreSQL, answer by a model, log the access.
Run by uvicorn as `bench.rivals.fastapi_tasks:app`; RIVAL_DATABASE_URL and RIVAL_PUBLIC_KEY (a file)
say where its data and the key are.
"""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Query, Request
from jose import JWTError, jwt
from pydantic import BaseModel, ConfigDict, Field
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.util import get_remote_address
from sqlalchemy import DateTime, String, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_LIMIT = "900000000/minute"

engine = create_async_engine(os.environ["RIVAL_DATABASE_URL"])
sessions = async_sessionmaker(engine, expire_on_commit=False)
public_key = Path(os.environ["RIVAL_PUBLIC_KEY"]).read_text()
limiter = Limiter(key_func=get_remote_address)


class Base(DeclarativeBase):
    """The tables."""


class Row(Base):
    """A stored task."""

    __tablename__ = "rival_tasks"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    owner_id: Mapped[uuid.UUID] = mapped_column(index=True)
    title: Mapped[str] = mapped_column(String(200))
    description: Mapped[str | None]
    priority: Mapped[int]
    due_date: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    completed: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class TaskIn(BaseModel):
    """What a caller sends."""

    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(None, max_length=10_000)
    priority: int = Field(1, ge=1, le=5)
    due_date: datetime | None = None


class TaskOut(BaseModel):
    """What a caller gets."""

    model_config = ConfigDict(from_attributes=True)
    id: uuid.UUID
    title: str
    description: str | None
    priority: int
    due_date: datetime | None
    completed: bool
    created_at: datetime
    updated_at: datetime


class Page(BaseModel):
    """A page of tasks."""

    count: int
    results: list[TaskOut]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """The table exists while the app runs."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)


async def caller(authorization: Annotated[str, Header()]) -> uuid.UUID:
    """The user whose token this is."""
    try:
        claims = jwt.decode(
            authorization.removeprefix("Bearer "),
            public_key,
            algorithms=["RS256"],
            audience="tasklane-api",
            issuer="tasklane",
        )
        return uuid.UUID(claims["sub"])
    except (JWTError, KeyError, ValueError) as error:
        raise HTTPException(401, "Bad token") from error


async def session() -> AsyncIterator[AsyncSession]:
    """A session for one request."""
    async with sessions() as opened:
        yield opened


Caller = Annotated[uuid.UUID, Depends(caller)]
Db = Annotated[AsyncSession, Depends(session)]


@app.post("/tasks", response_model=TaskOut, status_code=201)
@limiter.limit(_LIMIT)
async def create(request: Request, body: TaskIn, owner: Caller, db: Db) -> Any:
    """Stores a task."""
    now = datetime.now(UTC)
    row = Row(owner_id=owner, created_at=now, updated_at=now, **body.model_dump())
    db.add(row)
    await db.commit()
    return row


@app.get("/tasks/{task_id}", response_model=TaskOut)
@limiter.limit(_LIMIT)
async def read(request: Request, task_id: uuid.UUID, owner: Caller, db: Db) -> Any:
    """One task of the caller."""
    found = await db.scalar(select(Row).where(Row.id == task_id, Row.owner_id == owner))
    if found is None:
        raise HTTPException(404, "No such task")
    return found


@app.get("/tasks", response_model=Page)
@limiter.limit(_LIMIT)
async def page(
    request: Request,
    owner: Caller,
    db: Db,
    page: Annotated[int, Query(ge=1)] = 1,
    page_size: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Any:
    """A page of the caller's tasks, newest first, with the number of all."""
    mine = select(Row).where(Row.owner_id == owner)
    count = await db.scalar(select(func.count()).select_from(mine.subquery()))
    chosen = mine.order_by(Row.created_at.desc(), Row.id.desc())
    rows = await db.scalars(chosen.offset((page - 1) * page_size).limit(page_size))
    return {"count": count, "results": rows.all()}
