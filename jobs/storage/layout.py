"""Every object key in the bucket, as pure functions. Keys are composed from ids, never from what a user typed.

Keys are relative to the store's root. A job has one folder, `<project>/<job name>/<job id>/`, with everything of it;
`<project>/<job name>/LATEST.json` hints at the newest success, and `_data/` holds packed data sets by digest.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

# Files of a checkpoint and of a model's folder, as `trainers` writes them; a test holds both sides to the same names.
COMMIT, STATE, AVERAGE = "COMMIT.json", "state.json", "average-generator.safetensors"
WEIGHTS, CONFIG = "generator.safetensors", "config.json"
MANIFEST = "MANIFEST.json"


def new_job_id(now: datetime) -> str:
    """Return `<YYYYMMDDtHHMMSSz>-<random>`: ids sort by time."""
    return f"{now.astimezone(UTC):%Y%m%dt%H%M%Sz}-{secrets.token_hex(3)}"


def is_like_an_id(name: str) -> bool:
    """Decide whether a name could be taken for the id of a job or of an attempt."""
    return re.match(r"\d{8}t\d{6}z-[0-9a-f]{6}(-\d+)?$", name) is not None


def job_root(project: str, job_name: str) -> str:
    return f"{project}/{job_name}/"


def latest(project: str, job_name: str) -> str:
    """Return the key of a hint; the newest MANIFEST or final COMMIT is the truth."""
    return f"{job_root(project, job_name)}LATEST.json"


def packed_data(digest: str) -> str:
    return f"_data/{digest}/"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The keys of one job."""

    project: str
    job_name: str
    job_id: str

    @property
    def prefix(self) -> str:
        return f"{job_root(self.project, self.job_name)}{self.job_id}/"

    @property
    def job_yaml(self) -> str:
        return f"{self.prefix}job.yaml"

    @property
    def attempts_prefix(self) -> str:
        return f"{self.prefix}attempts/"

    def attempt_prefix(self, attempt: int) -> str:
        """Name what one attempt alone writes, each key once: nobody can change it under a manifest that names it."""
        return f"{self.attempts_prefix}a{attempt}/"

    def draft(self, attempt: int, key: str) -> str:
        """Say where an attempt puts what is published at a fixed key, until the database has accepted it."""
        return self.attempt_prefix(attempt) + key.removeprefix(self.prefix)

    def drawn_grid(self, examples: int, attempt: int, rollbacks: int = 0) -> str:
        """Name a grid as an attempt drew it; `grid` is where the one that counts is published."""
        return f"{self.attempt_prefix(attempt)}grids/{examples:012d}{_turn(rollbacks)}.png"

    @property
    def events(self) -> str:
        return f"{self.prefix}events.jsonl"

    @property
    def stats_prefix(self) -> str:
        return f"{self.prefix}stats/"

    def stats(self, examples: int, attempt: int, rollbacks: int = 0) -> str:
        return f"{self.stats_prefix}{_moment(examples, attempt, rollbacks)}.jsonl"

    @property
    def merged_stats(self) -> str:
        return f"{self.prefix}stats.jsonl"

    @property
    def loss_curves(self) -> str:
        return f"{self.prefix}report/losses.png"

    @property
    def logs_prefix(self) -> str:
        return f"{self.prefix}logs/"

    def log(self, attempt: int) -> str:
        return f"{self.logs_prefix}a{attempt}/driver.log.gz"

    @property
    def checkpoints_prefix(self) -> str:
        return f"{self.prefix}checkpoints/"

    def checkpoint(self, examples: int, attempt: int, rollbacks: int = 0) -> str:
        return f"{self.checkpoints_prefix}{_moment(examples, attempt, rollbacks)}/"

    @property
    def model_prefix(self) -> str:
        return f"{self.prefix}model/"

    @property
    def grids_prefix(self) -> str:
        return f"{self.prefix}grids/"

    def grid(self, examples: int) -> str:
        return f"{self.grids_prefix}{examples:012d}.png"

    @property
    def data_prefix(self) -> str:
        return f"{self.prefix}data/"

    @property
    def receipts_prefix(self) -> str:
        return f"{self.prefix}receipts/"

    def receipt(self, shard: int, writer: str | None = None) -> str:
        """Add a writer's name on a store without put-if-absent, where a key of one's own is the only safe one."""
        return f"{self.receipts_prefix}{shard:05d}{f'-{writer}' if writer else ''}.json"

    @property
    def manifest(self) -> str:
        return self.prefix + MANIFEST

    @property
    def manifests_prefix(self) -> str:
        return f"{self.prefix}manifests/"

    def manifest_body(self, sha256: str) -> str:
        """Say where a manifest's bytes wait for the database's word: whoever comes next finds them by their digest."""
        return f"{self.manifests_prefix}{sha256}.json"

    @property
    def quarantine_prefix(self) -> str:
        return f"{self.prefix}quarantine/"

    @property
    def sha256sums(self) -> str:
        return f"{self.prefix}SHA256SUMS"

    @property
    def readme(self) -> str:
        return f"{self.prefix}README.md"


@dataclass(frozen=True, kw_only=True)
class CheckpointKey:
    """What a checkpoint's folder name says, and the digest of its COMMIT where the database has recorded one."""

    prefix: str
    examples: int
    attempt: int
    rollbacks: int = 0  # of this attempt, before it
    sha256: str | None = None

    @property
    def commit(self) -> str:
        return self.prefix + COMMIT

    @property
    def folder(self) -> str:
        return self.prefix.rstrip("/").rpartition("/")[2]


_MOMENT = re.compile(r"(\d+)-a(\d+)(?:-r(\d+))?")


def _moment(examples: int, attempt: int, rollbacks: int) -> str:
    """Name a moment so that no key is written twice: after a rollback the same number of examples comes again."""
    return f"{examples:012d}-a{attempt}{_turn(rollbacks)}"


def _turn(rollbacks: int) -> str:
    return f"-r{rollbacks}" if rollbacks else ""


def parse_checkpoint_prefix(prefix: str, sha256: str | None = None) -> CheckpointKey | None:
    """Return the checkpoint of a folder's prefix; None for any other prefix."""
    found = _MOMENT.fullmatch(prefix.rstrip("/").rpartition("/")[2])
    if found is None:
        return None
    examples, attempt, rollbacks = (int(number or 0) for number in found.groups())
    return CheckpointKey(prefix=prefix, examples=examples, attempt=attempt, rollbacks=rollbacks, sha256=sha256)


def parse_commit_key(key: str) -> CheckpointKey | None:
    """Return the checkpoint that a COMMIT.json key stands for; None for any other key."""
    folder, _, name = key.rpartition("/")
    return parse_checkpoint_prefix(f"{folder}/") if name == COMMIT else None


_DRAWN = re.compile(r"attempts/a(\d+)/grids/(\d{12})(?:-r(\d+))?\.png")


@dataclass(frozen=True, kw_only=True, order=True)
class DrawnGrid:
    """What the key of a grid below an attempt says; of one number of examples the greatest counts."""

    examples: int
    attempt: int
    rollbacks: int
    key: str


def parse_drawn_grid(job: Layout, key: str) -> DrawnGrid | None:
    """Return the grid that an attempt drew under this key; None for any other key."""
    found = _DRAWN.fullmatch(key.removeprefix(job.prefix))
    if found is None:
        return None
    attempt, examples, rollbacks = (int(number or 0) for number in found.groups())
    return DrawnGrid(examples=examples, attempt=attempt, rollbacks=rollbacks, key=key)


_RECEIPT = re.compile(r"(\d{5,})(?:-a(\d+)-[0-9a-f]+)?\.json")


def parse_receipt_key(key: str) -> tuple[int, int] | None:
    """Return (shard, attempt) of a receipt's key, attempt 0 where it does not say; None for any other key."""
    found = _RECEIPT.fullmatch(key.rpartition("/")[2])
    return (int(found[1]), int(found[2] or 0)) if found else None
