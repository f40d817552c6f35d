"""The reference implementation: the service that a good engineer writes in a day, with FastAPI and SQLAlchemy Core.

A request id is used once, a customer has one valid issuance, failures are reported per customer; one transaction each.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Header, Response
from pydantic import BaseModel, Field
from pydantic.alias_generators import to_camel
from sqlalchemy import BigInteger, DateTime, Identity, Index, Text, any_, insert, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

AUTHORIZATION = f"Basic {base64.b64encode(b'bench:secret').decode()}"
SECRET_HASH = hashlib.sha256(AUTHORIZATION.encode()).digest()
NEVER, MAX_ATTEMPTS = timedelta(days=36525), 5
URL = os.environ.get("REFERENCE_DATABASE_URL", "postgresql+asyncpg://localhost/reference")
engine = create_async_engine(URL, pool_size=10, max_overflow=0)


class Base(DeclarativeBase):
    type_annotation_map = {str: Text, int: BigInteger, datetime: DateTime(timezone=True)}  # noqa: RUF012


class Badge(Base):
    __tablename__ = "badge"
    key: Mapped[int] = mapped_column(Identity(), primary_key=True)
    badge_id: Mapped[str] = mapped_column(unique=True)
    owner_type: Mapped[str]
    reference_id: Mapped[str]
    starts_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Request(Base):
    __tablename__ = "request"
    request_id: Mapped[str] = mapped_column(primary_key=True)
    badge_key: Mapped[int]
    created_at: Mapped[datetime]


class Issuance(Base):
    __tablename__ = "issuance"
    issued_id: Mapped[str] = mapped_column(primary_key=True)
    badge_key: Mapped[int]
    customer_id: Mapped[int]
    request_id: Mapped[str]
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


VALID = Issuance.revoked_at.is_(None)
Index("one_valid", Issuance.badge_key, Issuance.customer_id, unique=True, postgresql_where=VALID)


class TriggeredBy(BaseModel, alias_generator=to_camel):
    owner_type: str
    reference_id: str


class EarnBulk(BaseModel, alias_generator=to_camel):
    badge_meta_id: str
    customer_ids: Annotated[list[Annotated[int, Field(ge=1, lt=2**63)]], Field(min_length=1)]
    request_id: str
    triggered_by: TriggeredBy


app = FastAPI(openapi_url=None)


@app.get("/healthz")
async def healthz() -> dict[str, dict[str, str]]:
    return {"data": {"status": "ok"}}


@app.post("/customer/earnBulk")
async def earn_bulk(body: EarnBulk, authorization: Annotated[str, Header()]) -> Response:
    if not is_authenticated(authorization):
        return failure(401, 401, "Unauthorized.")
    for _ in range(MAX_ATTEMPTS):
        try:
            async with engine.begin() as connection:
                return await issue(connection, body)
        except IntegrityError as error:
            if "request_pkey" in str(error.orig):
                return failure(400, 809, "Request id is already used.")
    return failure(503, 503, "Too many conflicting requests; retry later.")


async def issue(connection: AsyncConnection, body: EarnBulk) -> Response:
    now = datetime.now(UTC)
    badge_query = select(Badge.__table__).where(Badge.badge_id == body.badge_meta_id)
    badge = (await connection.execute(badge_query)).one_or_none()
    if badge is None or not badge.starts_at <= now < badge.expires_at:
        return failure(400, 1054, "Badge not found.")
    owner = body.triggered_by
    if (badge.owner_type, badge.reference_id) != (owner.owner_type, owner.reference_id):
        return failure(400, 752, "The badge is not claimed.")
    request = {"request_id": body.request_id, "badge_key": badge.key}
    await connection.execute(insert(Request), {**request, "created_at": now})
    audience = list(dict.fromkeys(body.customer_ids))
    query = select(Issuance.customer_id, Issuance.issued_id).where(Issuance.badge_key == badge.key, VALID)
    query = query.where(Issuance.customer_id == any_(literal(audience, ARRAY(BigInteger))))
    holders: dict[int, str] = {row[0]: row[1] for row in await connection.execute(query)}
    prefix, until = f"{int(now.timestamp()):08x}{secrets.token_hex(4)}", now + NEVER
    issued = {c: f"{prefix}{line:08x}" for line, c in enumerate(audience) if c not in holders}
    if issued:
        shared = {**request, "valid_from": now, "valid_until": until}
        rows = [{"issued_id": issued_id, "customer_id": c, **shared} for c, issued_id in issued.items()]
        await connection.execute(insert(Issuance), rows)
    error = {"code": 1040, "message": "Badge is already earned."}
    entries: list[dict[str, Any]] = [
        {"customerId": c, "issuedId": issued[c], "status": "LIVE"}
        if c in issued
        else {"customerId": c, "issuedId": holders[c], "status": "LIVE", "error": error}
        for c in audience
    ]
    return respond(200, {
        "badgeMetaId": body.badge_meta_id, "triggeredBy": owner.model_dump(by_alias=True),
        "expiresOn": until.timestamp(), "issuedBadges": entries, "totalCount": len(audience),
        "earnedCount": len(issued), "failedCount": len(holders), "requestId": body.request_id,
    })  # fmt: skip


@lru_cache
def is_authenticated(authorization: str) -> bool:
    return hmac.compare_digest(hashlib.sha256(authorization.encode()).digest(), SECRET_HASH)


def failure(status: int, code: int, message: str) -> Response:
    return respond(status, None, {"code": code, "message": message})


def respond(status: int, data: object, *errors: object) -> Response:
    body = msgspec.json.encode({"data": data, "errors": errors, "warnings": []})
    return Response(body, status, media_type="application/json")
