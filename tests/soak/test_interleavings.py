"""Two attempts in every order: each move of the one with each of the other. tests/unit/jobs has the mistakes put back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import db
from tests.support import interleave


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[db.Database]:
    with interleave.stage(tmp_path_factory.mktemp("interleave")) as database:
        yield database


@pytest.mark.parametrize("happens", ["killed", "late", "asleep", "both"])
@pytest.mark.parametrize("honours", [True, False], ids=["put-if-absent", "plain puts"])
@pytest.mark.parametrize("kind", ["generate", "train"])
def test_every_move_against_every_move(
    database: db.Database, tmp_path: Path, kind: str, honours: bool, happens: str
) -> None:
    plays = interleave.explore(database, kind, honours, happens, tmp_path)
    print(f"{kind}, {'put-if-absent' if honours else 'plain puts'}, {happens}: {plays} plays")
