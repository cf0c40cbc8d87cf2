"""One server for one database: a lock that dies with its holder."""

import os
from pathlib import Path

from sqlalchemy import Connection, text

from jobs import locks
from orchestrator.db import Database

PG_KEY = 0x67616E77  # "ganw": the advisory lock's number


class Taken(RuntimeError):
    """Another server works on this database."""


class Leadership:
    """Held until `release`, or until this process ends."""

    def __init__(self, database: Database) -> None:
        self._file: int | None = None
        self._connection: Connection | None = None
        if database.engine.dialect.name == "sqlite":
            # Resolved: two ways to one file, a link among them, are one database.
            self._lock_file(Path(f"{Path(str(database.url.database)).resolve()}.lock"))
        else:
            self._lock_in_database(database)

    def _lock_file(self, path: Path) -> None:
        try:
            self._file = locks.take(path, wait=False)
        except locks.Held as held:
            holder = Path(str(held)).read_text("ascii") or "unknown"
            raise Taken(
                f"another server (pid {holder}) works on {path.with_suffix('')}; stop it, or set GANWORKS_DATABASE"
            ) from None
        os.truncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def _lock_in_database(self, database: Database) -> None:
        self._connection = database.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if not self._connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": PG_KEY}).scalar():
            self._connection.close()
            shown = database.url.render_as_string(hide_password=True)
            raise Taken(f"another server works on {shown}; stop it, or set GANWORKS_DATABASE")

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
