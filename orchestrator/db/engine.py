"""Opening the database: SQLite in WAL mode with every commit on the disk, or PostgreSQL."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

BUSY_SECONDS = 10  # how long a writer waits for another process …
TURN_SECONDS = 30  # … and for its turn within this one


POOL: dict[str, Any] = {"pool_size": 32, "max_overflow": 48}  # more than threads that may ask: none waits for another


class CannotWrite(RuntimeError):
    """The database takes no write now: it is locked, read-only or full, or others write for too long."""


class Touched:
    """The jobs that transactions of this process have touched since somebody last took them."""

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._lock = threading.Lock()

    def add(self, ids: set[str]) -> None:
        with self._lock:
            self._ids |= ids

    def take(self) -> set[str]:
        with self._lock:
            ids, self._ids = self._ids, set()
        return ids


def touch(connection: Connection, job_id: str) -> None:
    """Note a job as touched, as every statement must that changes it or an attempt of it."""
    connection.info.setdefault("touched", set()).add(job_id)


class Database:
    """Two ways in: `read` sees one consistent snapshot, `write` is one transaction."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine = _open(url)
        self._writing = threading.RLock()
        self._writer: int | None = None  # thread
        self.unwritable: str | None = None  # why the last write failed; None: it did not
        self.patience: float = BUSY_SECONDS
        self._watchers: list[Touched] = []

    def watch(self) -> Touched:
        self._watchers.append(Touched())
        return self._watchers[-1]

    @contextmanager
    def read(self) -> Iterator[Connection]:
        level = {} if self._is_sqlite else {"isolation_level": "REPEATABLE READ"}
        with self.engine.connect().execution_options(**level) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self, patience: float | None = None) -> Iterator[Connection]:
        """Begin a transaction that writes. Raises CannotWrite.

        `patience`: seconds to wait for another process that holds SQLite's lock.
        """
        with self._turn(), self._noted(), self._connected(patience or self.patience) as connection:
            touched: set[str] = set()
            connection.info["touched"] = touched
            try:
                with connection.begin():
                    yield connection
            finally:  # after the commit, and also after one that failed: it may have been done all the same
                for watcher in self._watchers:
                    watcher.add(touched)

    @property
    def is_writing(self) -> bool:
        """Return whether this thread is within a transaction that writes."""
        return self._writer == threading.get_ident()

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Keep why the last write failed: nobody is judged by what could not be written down."""
        try:
            yield
        except (OperationalError, InternalError, PoolTimeout) as error:
            self.unwritable = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
            raise CannotWrite(f"the database cannot be written: {self.unwritable}") from error
        self.unwritable = None

    @contextmanager
    def _connected(self, patience: float) -> Iterator[Connection]:
        with self.engine.connect().execution_options(writes=True) as connection:
            if self._is_sqlite and patience != BUSY_SECONDS:
                driver: Any = connection.connection.driver_connection
                driver.execute(f"PRAGMA busy_timeout = {patience * 1000:.0f}")
                try:
                    yield connection
                finally:
                    driver.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
            else:
                yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let threads take turns here instead of polling SQLite's busy handler: it has one writer."""
        if self._is_sqlite and not self._writing.acquire(timeout=TURN_SECONDS):
            raise CannotWrite(f"the database cannot be written: others have written for {TURN_SECONDS} s")
        before, self._writer = self._writer, threading.get_ident()
        try:
            yield
        finally:
            self._writer = before
            if self._is_sqlite:
                self._writing.release()

    @property
    def _is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        self.engine.dispose()


def _open(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")  # psycopg 3; SQLAlchemy's default is the one before
        return create_engine(parsed, pool_pre_ping=True, **POOL)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    pool = POOL if parsed.database and parsed.database != ":memory:" else {}
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}, **pool)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # sqlite3 would begin by itself, too late and without IMMEDIATE
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Lock at once for a writer: a reader that turns writer in mid-transaction could fail as busy."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
