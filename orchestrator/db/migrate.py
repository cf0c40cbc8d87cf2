"""Bringing the tables up to date, from the scripts that the package carries."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from orchestrator.db.engine import Database

SCRIPTS = Path(__file__).parent.parent / "migrations"


class NewerDatabase(ValueError):
    """The database was written by a newer version of ganworks."""


def migrate(database: Database) -> None:
    """Take every step that this database has not had. Raises NewerDatabase when it is ahead of this version."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    with database.write() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if current is not None and current not in known:
            shown = database.url.render_as_string(hide_password=True)
            raise NewerDatabase(f"database {shown} is at revision {current}, which this version does not know; upgrade")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
