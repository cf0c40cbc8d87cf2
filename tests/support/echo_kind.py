"""A kind of job that the package does not know: its spec, its tick, its result, and its one row."""

from typing import Literal

from jobs import series, wire
from jobs.kinds import Kind
from jobs.series import Series
from jobs.specs.spec import Job


class EchoJob(Job):
    kind: Literal["echo"]
    text: str
    times: int = 3
    until: str = ""  # a file: the job goes on until it is there


class EchoTick(wire.Tick):
    phase: Literal["echoing"] = "echoing"
    words: int
    total_words: int
    words_per_second: wire.Number = None


class EchoSummary(wire.Summary):
    words: int | None = None


ECHO = Kind(
    spec=EchoJob,
    driver="tests.support.echo_driver",
    unit="words",
    verb="echoed",
    working=("echoing",),
    moves=("words",),
    tick=EchoTick,
    summary=EchoSummary,
    series=(Series("echo_words_total", "Words echoed", series.field("words")),),
)
