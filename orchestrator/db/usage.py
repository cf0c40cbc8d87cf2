"""Statements over the running sums of what was used."""

from collections.abc import Mapping

from sqlalchemy import Connection, func, insert, select, update

from orchestrator.db.tables import usage

COLUMNS = ("gpu_seconds_useful", "gpu_seconds_wasted", "cpu_seconds_useful", "cpu_seconds_wasted")


def add(connection: Connection, project: str, by: str, name: str, day: int, amounts: Mapping[str, float]) -> None:
    """Add seconds to a day's sums."""
    here = (usage.c.project == project) & (usage.c.by == by) & (usage.c.name == name) & (usage.c.day == day)
    more = {column: usage.c[column] + amount for column, amount in amounts.items()}
    if connection.execute(update(usage).where(here).values(more)).rowcount == 0:
        row = dict.fromkeys(COLUMNS, 0.0) | dict(amounts)
        connection.execute(insert(usage).values(project=project, by=by, name=name, day=day, **row))


def since(connection: Connection, project: str, by: str, day: int) -> dict[str, dict[str, float]]:
    """Return the sums from a day on, by name."""
    sums = [func.sum(usage.c[column]).label(column) for column in COLUMNS]
    mine = (usage.c.project == project) & (usage.c.by == by) & (usage.c.day >= day)
    rows = connection.execute(select(usage.c.name, *sums).where(mine).group_by(usage.c.name))
    return {row.name: {column: getattr(row, column) for column in COLUMNS} for row in rows}
