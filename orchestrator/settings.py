"""Everything that the server can be told: one frozen value, read from the environment once.

GANWORKS_QUEUES names a file with the queues, their quotas and fair shares, and how the plan preempts
(`queues.py` shows it whole); without it there is one queue, `default`, that has everything.
"""

import json
import os
import shlex
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator import addresses, queues, tokens
from orchestrator.scheduler import Policy


@dataclass(frozen=True, kw_only=True)
class Settings:
    home: Path = field(default_factory=lambda: _home())
    database: str = ""  # SQLAlchemy URL; empty: SQLite in `home`
    store: str = ""  # s3://bucket[/prefix] or a folder; empty: a folder in `home`
    ray_address: str = "http://127.0.0.1:8265"  # Ray's dashboard, which serves the Jobs API
    ray_token: str | None = field(default=None, repr=False)  # None: Ray runs without token authentication
    host: str = "127.0.0.1"
    port: int = 8420
    advertise_url: str = ""  # where drivers reach this server; empty: from host and port
    token: str = field(default="", repr=False)  # the first user's; empty: kept in `home`/token
    scrape_token: str = field(default="", repr=False)  # reads /metrics only; empty: kept in `home`/scrape-token
    project: str = "default"  # whose token `token` is
    secrets_dir: Path | None = None
    data_roots: tuple[str, ...] = ()
    data_mirror: str | None = None
    runtime_env: Mapping[str, Any] = field(default_factory=dict)  # merged into each attempt's Ray runtime_env
    store_env: Mapping[str, str] = field(default_factory=dict, repr=False)  # AWS_*: goes out in a claim's reply only
    entrypoint: str = f"exec {shlex.quote(sys.executable)} -P -m ganworks_launcher jobs.run"

    step_seconds: float = 0.5  # longest pause between two looks of the supervisor
    heartbeat_seconds: float = 5.0  # how often a driver calls
    stalled_after: float = 60.0  # a driver silent for this long is lost
    progress_stalled_after: float = 600.0  # so is one that calls and gets nowhere
    claim_after: float = 180.0  # and one that Ray runs and that never claims its attempt
    result_grace: float = 5.0  # a driver's result may arrive this much after Ray saw its end
    reserve_seconds: float = 90.0  # a lost attempt holds its place until Ray confirms, this long at most
    cancel_grace: float = 60.0  # for the last checkpoint, before Ray stops the driver
    policy: Policy = field(default_factory=Policy)  # queues, quotas, preemption: the file of GANWORKS_QUEUES
    ticks_kept: int = 1000  # rows per job; older ones thin out

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.home / 'ganworks.db'}"

    @property
    def store_uri(self) -> str:
        return self.store or str(self.home / "store")

    @property
    def advertised(self) -> str:
        host = socket.gethostname() if addresses.is_anywhere(self.host) else self.host
        return self.advertise_url or addresses.url(host, self.port)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return what must never be printed."""
        named = [value for name, value in self.store_env.items() if "SECRET" in name or "TOKEN" in name]
        return tuple(value for value in (self.token, self.scrape_token, self.ray_token, *named) if value)


PLAIN = {"GANWORKS_DATABASE": "database", "GANWORKS_STORE": "store", "GANWORKS_RAY_ADDRESS": "ray_address",
         "GANWORKS_HOST": "host", "GANWORKS_ADVERTISE_URL": "advertise_url", "GANWORKS_TOKEN": "token",
         "GANWORKS_SCRAPE_TOKEN": "scrape_token", "GANWORKS_DATA_MIRROR": "data_mirror",
         "GANWORKS_ENTRYPOINT": "entrypoint"}  # fmt: skip
TOKENS = {"GANWORKS_TOKEN": "token", "GANWORKS_SCRAPE_TOKEN": "scrape_token"}
SECONDS = ("step_seconds", "heartbeat_seconds", "stalled_after", "progress_stalled_after", "claim_after",
           "result_grace", "reserve_seconds", "cancel_grace")  # fmt: skip


def from_environment(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of GANWORKS_*, AWS_* and Ray's own token variables. Raises ValueError for a bad value."""
    plain = {variable: environ.get(variable, "").strip() for variable in PLAIN}  # secrets from files end in a newline
    values: dict[str, Any] = {PLAIN[variable]: value for variable, value in plain.items() if value}
    values |= {name: _token(variable, plain[variable]) for variable, name in TOKENS.items() if plain[variable]}
    values |= {name: _seconds(environ, name) for name in SECONDS if environ.get(f"GANWORKS_{name.upper()}")}
    if environ.get("GANWORKS_HOME"):
        values["home"] = Path(environ["GANWORKS_HOME"]).expanduser()
    if environ.get("GANWORKS_PORT"):
        values["port"] = _port(environ["GANWORKS_PORT"])
    if environ.get("GANWORKS_SECRETS_DIR"):
        values["secrets_dir"] = Path(environ["GANWORKS_SECRETS_DIR"])
    if environ.get("GANWORKS_DATA_ROOTS"):
        values["data_roots"] = tuple(environ["GANWORKS_DATA_ROOTS"].split(os.pathsep))
    if environ.get("GANWORKS_RUNTIME_ENV"):
        values["runtime_env"] = _runtime_env(environ["GANWORKS_RUNTIME_ENV"])
    if environ.get("GANWORKS_QUEUES"):
        values["policy"] = queues.read(environ["GANWORKS_QUEUES"])
    store_env = {name: value for name, value in environ.items() if name.startswith("AWS_")}
    return Settings(ray_token=_ray_token(environ), store_env=store_env, **values)


def _home() -> Path:
    try:
        return Path("~/.ganworks").expanduser()
    except RuntimeError:
        raise ValueError(
            "GANWORKS_HOME: this user has no home folder; set it to a folder that can be written"
        ) from None


def _token(variable: str, text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError(f"{variable}: has characters that no token has, such as a line's end in its middle")
    return text


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f"GANWORKS_PORT: a port from 1 to 65535 is expected, got {text!r}")
    return int(text)


def _seconds(environ: Mapping[str, str], name: str) -> float:
    variable = f"GANWORKS_{name.upper()}"
    try:
        return float(environ[variable])
    except ValueError:
        raise ValueError(f"{variable}: a number of seconds is expected, got {environ[variable]!r}") from None


def _runtime_env(text: str) -> dict[str, Any]:
    """Accept JSON, or the path of a JSON file."""
    try:
        value = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"GANWORKS_RUNTIME_ENV: a JSON object, or a file with one, is expected: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("GANWORKS_RUNTIME_ENV: a JSON object is expected")
    return value


def _ray_token(environ: Mapping[str, str]) -> str | None:
    """Follow Ray's own lookup: RAY_AUTH_TOKEN, then RAY_AUTH_TOKEN_PATH, then ~/.ray/auth_token; only in token mode."""
    if environ.get("RAY_AUTH_MODE", "disabled") != "token":
        return None
    if environ.get("RAY_AUTH_TOKEN"):
        return environ["RAY_AUTH_TOKEN"].strip()
    path = Path(environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ValueError(f"RAY_AUTH_MODE is token, but {path} cannot be read: {error.strerror}") from None


def with_tokens(settings: Settings) -> Settings:
    """Return the same settings with both tokens filled in: those of `home`, made there if there are none."""
    return replace(
        settings,
        token=settings.token or tokens.kept(settings.home / "token"),
        scrape_token=settings.scrape_token or tokens.kept(settings.home / "scrape-token"),
    )
