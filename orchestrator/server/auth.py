"""Who calls? Bearer tokens: users' and the scraper's from the table, a driver's from its attempt."""

from fastapi import HTTPException, Request

from jobs import wire
from orchestrator import db, tokens
from orchestrator.records import Attempt, Token
from orchestrator.server.state import ServerState

ATTEMPTS = "/api/v1/attempts/"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


def server(request: Request) -> ServerState:
    return request.app.state.server


def wire_version(request: Request) -> None:
    """Refuse a driver of another version: it would not be understood."""
    said = request.headers.get(wire.HEADER, "1")
    if said != str(wire.VERSION):
        theirs = int(said) if said.isdecimal() else 0
        raise HTTPException(426, wire.mismatch("server", "driver", theirs), headers={"Upgrade": "ganworks"})


def opens(state: ServerState, path: str, authorization: str) -> None:
    """Raise HTTPException unless this token opens this path: asked before a body is read. The route asks again."""
    secret = _secret(authorization)
    if path.startswith(ATTEMPTS):
        with state.database.read() as connection:
            attempt = db.attempts.by_id(connection, path.removeprefix(ATTEMPTS).partition("/")[0])
        if attempt is None or not tokens.matches(secret, attempt.token_hash):
            raise HTTPException(403, "this token is not that of the attempt")
        return
    with state.database.read() as connection:
        if db.tokens.by_hash(connection, tokens.digest(secret)) is None:
            raise HTTPException(401, "this token is not known; see `ganworks login`", headers=_CHALLENGE)


def bearer(request: Request) -> str:
    return _secret(request.headers.get("Authorization", ""))


def _secret(authorization: str) -> str:
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise HTTPException(401, "a bearer token is expected: Authorization: Bearer …", headers=_CHALLENGE)
    return secret.strip()


def known(request: Request) -> Token:
    """Return whoever has a token of the table. Looked up by hash, so that timing tells nothing about the token."""
    hash = tokens.digest(bearer(request))
    with server(request).database.read() as connection:
        token = db.tokens.by_hash(connection, hash)
    if token is None:
        raise HTTPException(401, "this token is not known; see `ganworks login`", headers=_CHALLENGE)
    return token


def user(request: Request) -> Token:
    token = known(request)
    if token.role != "user":
        raise HTTPException(403, f"a {token.role} token reads /metrics only")
    return token


def driver(request: Request, attempt_id: str) -> Attempt:
    """Return the driver of this very attempt. It may have been replaced: what that means is for the route to say."""
    secret = bearer(request)
    with server(request).database.read() as connection:
        attempt = db.attempts.by_id(connection, attempt_id)
    if attempt is None or not tokens.matches(secret, attempt.token_hash):
        raise HTTPException(403, "this token is not that of the attempt")
    server(request).supervisor.heard(attempt.id)
    return attempt
