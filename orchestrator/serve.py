"""The server: its parts opened in order, its routes, its run in the foreground."""

import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial

import structlog
import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from jobs.store import StoreError, open_store
from orchestrator import __version__, addresses, db, tokens
from orchestrator.api import (
    attempts,
    catalogue,
    cluster,
    errors,
    grids,
    health,
    history,
    jobs,
    metrics,
    queues,
    schedules,
)
from orchestrator.api import logs as log_routes
from orchestrator.api.middleware import THREADS, Lanes, Timed, TokenFirst
from orchestrator.clock import SteadyClock
from orchestrator.cluster import Cluster
from orchestrator.cluster.ray import RayCluster
from orchestrator.observability import logs
from orchestrator.observability.process_metrics import ProcessMetrics
from orchestrator.observability.redact import Redactor
from orchestrator.observability.timed_store import TimedStore
from orchestrator.records import Token
from orchestrator.server import auth
from orchestrator.server.impatient import Impatient
from orchestrator.server.leader import Leadership, Taken
from orchestrator.server.state import ServerState
from orchestrator.settings import Settings, from_environment, with_tokens

log = structlog.get_logger(__name__)
CONNECTIONS = 1000  # at once; more are answered 503
GRACE = 10  # seconds that open requests have at the end
ROUTERS = (attempts, jobs, history, log_routes, grids, cluster, catalogue, health, metrics, queues, schedules)


class CannotStart(RuntimeError):
    """Why the server does not start, in one line with the way out."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """Handed to `ready` once the server answers."""

    url: str
    settings: Settings
    stop: Callable[[], None]


def open_server(settings: Settings, cluster: Cluster | None = None) -> ServerState:
    """Open database, store and Ray's gateway, each tried for real. Raises CannotStart; Taken is one of its causes."""
    settings = with_tokens(settings)
    database = _database(settings)
    try:
        store = open_store(settings.store_uri, env=settings.store_env)
        hasty = open_store(settings.store_uri, env=settings.store_env, is_hasty=True)
        store.probe()
    except (StoreError, ValueError, OSError) as error:
        raise CannotStart(f"the store cannot be used: {error}") from None
    ray = cluster or RayCluster(settings.ray_address, settings.ray_token, settings.runtime_env)
    measured = ProcessMetrics()
    with database.read() as connection:
        clock = SteadyClock(db.marks.get(connection, db.marks.CLOCK))
    return ServerState(
        settings=settings,
        database=database,
        cluster=ray,
        store=TimedStore(store, measured),
        hasty_store=TimedStore(hasty, measured),
        process_metrics=measured,
        clock=clock,
    )


def _database(settings: Settings) -> db.Database:
    with _explained(settings):
        database = db.Database(settings.database_url)
        db.migrate(database)
        with database.write() as connection:
            for secret, role in ((settings.token, "user"), (settings.scrape_token, "scrape")):
                token = Token(hash=tokens.digest(secret), project=settings.project, owner="admin", role=role)
                db.tokens.put(connection, token)
    return database


@contextmanager
def _explained(settings: Settings) -> Iterator[None]:
    """Explain what is wrong with the database, in one line and without its password."""
    try:
        yield
    except (SQLAlchemyError, db.CannotWrite, db.NewerDatabase, OSError, ImportError) as error:
        cause = error.__cause__ if isinstance(error, db.CannotWrite) and error.__cause__ else error
        reason = str(getattr(cause, "orig", None) or cause).strip().splitlines()[0]
        raise CannotStart(
            f"the database cannot be used: {_redacted(reason, settings)}; check GANWORKS_DATABASE"
        ) from None


def _redacted(reason: str, settings: Settings) -> str:
    try:
        password = make_url(settings.database_url).password
    except SQLAlchemyError:
        return "its URL cannot be read"
    return Redactor([str(password)] if password else []).text(reason)


def application(state: ServerState) -> FastAPI:
    """Build the routes over opened state; the loops run while the application does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = THREADS
        state.start()
        yield
        state.stop()

    app = FastAPI(
        title="ganworks", version=__version__, lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    app.state.server = state
    errors.install(app)
    for noun in ROUTERS:
        app.include_router(noun.router)
    _add_documentation(app)
    app.add_middleware(Lanes)
    app.add_middleware(TokenFirst, opens=partial(auth.opens, state))
    app.add_middleware(Timed, process_metrics=state.process_metrics)
    return app


def _add_documentation(app: FastAPI) -> None:
    @app.get("/openapi.json", dependencies=[Depends(auth.user)], include_in_schema=False)
    def openapi() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", dependencies=[Depends(auth.user)], include_in_schema=False)
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(openapi_url="/openapi.json", title="ganworks")


def build(settings: Settings, cluster: Cluster | None = None) -> FastAPI:
    return application(open_server(settings, cluster))


def run_server(settings: Settings, ready: Callable[[Running], None] | None = None) -> None:
    """Serve until SIGTERM, SIGINT or `Running.stop`. Port 0 takes a free one. Raises CannotStart."""
    listening = _listen(settings)
    try:
        settings = with_tokens(replace(settings, port=listening.getsockname()[1]))
        logs.set_up(Redactor(settings.secrets))
        leadership = _lead(settings)
        try:
            _serve(build(settings), settings, listening, ready)
        finally:
            leadership.release()
    finally:
        listening.close()


def _lead(settings: Settings) -> Leadership:
    with _explained(settings):
        try:
            return Leadership(db.Database(settings.database_url))
        except Taken as error:
            raise CannotStart(str(error)) from None


def _listen(settings: Settings) -> socket.socket:
    try:
        return addresses.listen(settings.host, settings.port)
    except addresses.CannotListen as error:
        raise CannotStart(f"{error}; GANWORKS_HOST and GANWORKS_PORT say where") from None


def _serve(app: FastAPI, settings: Settings, listening: socket.socket, ready: Callable[[Running], None] | None) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE,
        server_header=False,
        http=Impatient,
        limit_concurrency=CONNECTIONS,
    )

    def stop() -> None:
        server.should_exit = True

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                log.info("ready", url=settings.advertised, ray=settings.ray_address, store=settings.store_uri)
                if ready:
                    ready(Running(url=addresses.url(settings.host, settings.port), settings=settings, stop=stop))

    server = Announcing(config)
    server.run(sockets=[listening])


def main() -> int:
    """Serve until SIGTERM, Ctrl-C, or the end of the terminal."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # of `nohup`
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        run_server(from_environment())
    except (CannotStart, ValueError) as error:
        print(f"ganworks: {error}", file=sys.stderr)
        return 2
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        print(f"ganworks: {error.filename}: {error.strerror}; check GANWORKS_HOME and GANWORKS_STORE", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
