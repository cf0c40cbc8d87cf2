"""Every object key in the bucket, as pure functions. Keys are composed from ids, never from what a user typed.

Keys are relative to the store's root. A job has one folder, `<project>/<job name>/<job id>/`, with everything of it;
`<project>/<job name>/LATEST.json` hints at the newest success, and `_data/` holds packed data sets by digest.
"""

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
    def events(self) -> str:
        return f"{self.prefix}events.jsonl"

    @property
    def stats_prefix(self) -> str:
        return f"{self.prefix}stats/"

    def stats(self, examples: int, attempt: int) -> str:
        return f"{self.stats_prefix}{examples:012d}-a{attempt}.jsonl"

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

    def checkpoint(self, examples: int, attempt: int) -> str:
        return f"{self.checkpoints_prefix}{examples:012d}-a{attempt}/"

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

    def receipt(self, shard: int) -> str:
        return f"{self.receipts_prefix}{shard:05d}.json"

    @property
    def manifest(self) -> str:
        return self.prefix + MANIFEST

    @property
    def sha256sums(self) -> str:
        return f"{self.prefix}SHA256SUMS"

    @property
    def readme(self) -> str:
        return f"{self.prefix}README.md"


@dataclass(frozen=True, kw_only=True)
class CheckpointKey:
    """What a checkpoint's folder name says."""

    prefix: str
    examples: int
    attempt: int

    @property
    def commit(self) -> str:
        return self.prefix + COMMIT


def parse_commit_key(key: str) -> CheckpointKey | None:
    """Return the checkpoint that a COMMIT.json key stands for; None for any other key."""
    folder, _, name = key.rpartition("/")
    examples, _, attempt = folder.rpartition("/")[2].partition("-a")
    if name != COMMIT or not (examples.isdigit() and attempt.isdigit()):
        return None
    return CheckpointKey(prefix=f"{folder}/", examples=int(examples), attempt=int(attempt))
