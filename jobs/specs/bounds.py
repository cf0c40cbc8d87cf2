"""Every number of a spec has a least, a most and a reason: what a spec costs is known before it is paid.

`python -m jobs.specs.bounds` prints the table as docs/bounds.md has it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

INT64 = 2**63 - 1
YEARS = 10 * 366 * 86400


@dataclass(frozen=True)
class Bound:
    """Stands in `Annotated[int, Bound(…)]`; the value and both ends are allowed."""

    least: float
    most: float
    why: str

    def check(self, value: Any) -> Any:
        if not self.least <= value <= self.most:
            raise ValueError(f"a number from {shown(self.least)} to {shown(self.most)} is expected: {self.why}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        check: Callable[[Any], Any] = self.check
        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "minimum": self.least, "maximum": self.most, "why": self.why}


def shown(number: float) -> str:
    for power in (63, 31):
        if number == 2**power - 1:
            return f"2^{power} - 1"
    return f"{number:,.0f}" if number == int(number) else f"{number:,g}"


EXAMPLES = Bound(1, 10**12, "object names have twelve digits for examples")
DURATION = Bound(0, YEARS, "ten years: later moments are no dates for calendars and databases")
LIMIT = Bound(0.001, YEARS, "a time of 0 would end every job before it begins; ten years are no limit any more")
SAMPLES = Bound(1, 10**10, "ten milliards at a kilobyte each are ten terabytes")

BOUNDS: dict[str, Bound] = {
    "priority": Bound(0, 100, "a scale that people can agree on"),
    "timeout": LIMIT,
    "queue_timeout": LIMIT,
    "ttl": DURATION,
    "params": Bound(-INT64 - 1, INT64, "whole numbers of 64 bits, as JSON readers and databases keep them"),
    "data.resolution": Bound(4, 4096, "a larger picture is 200 MB in float32"),
    "data.channels": Bound(1, 4, "grey, grey and alpha, colour, colour and alpha"),
    "data.max_corrupt": Bound(0, 1, "a share"),
    "train.examples": EXAMPLES,
    "train.batch_size": Bound(1, 1 << 20, "a million examples a step; beyond it, steps are no steps any more"),
    "train.group": Bound(1, 1 << 20, "as batch_size"),
    "train.seed": Bound(0, INT64, "64 bits, as generators of random numbers take them"),
    "train.checkpoint.every": EXAMPLES,
    "train.checkpoint.keep": Bound(1, 1000, "each is looked at whenever one is added"),
    "train.grids.every": EXAMPLES,
    "train.grids.count": Bound(1, 1024, "a picture of 32 x 32 samples can still be looked at"),
    "train.evaluate.every": EXAMPLES,
    "train.evaluate.samples": SAMPLES,
    "resources.workers": Bound(1, 100_000, "a plan places each worker"),
    "resources.cpus_per_worker": Bound(0.01, 4096, "the largest machine that there is, and a hundredth of a CPU"),
    "resources.gpus_per_worker": Bound(0, 64, "a worker is on one machine"),
    "resources.memory_per_worker": Bound(1, 1 << 50, "a petabyte: a worker is on one machine"),
    "retry.limit": Bound(0, 100, "what failed a hundred times will again"),
    "retry.backoff": Bound(0, 86400, "a day"),
    "retry.rules.exit_code": Bound(-255, 255, "what a process can exit with, or the signal that ended it"),
    "schedule.starting_deadline": DURATION,
    "schedule.jitter": Bound(0, 7 * 86400, "a week: each step looks at the firings of that time"),
    "schedule.history.succeeded": Bound(0, 1000, "as many firings as are read at once"),
    "schedule.history.failed": Bound(0, 1000, "as many firings as are read at once"),
    "model.checkpoint": EXAMPLES,
    "samples": SAMPLES,
    "sampling.seed": Bound(0, INT64, "64 bits, as generators of random numbers take them"),
    "sampling.truncation": Bound(1e-6, 1e6, "above 0; 1 or null is none"),
    "sampling.classes": Bound(-INT64, INT64, "a label as the data's source wrote it: 64 bits"),
    "output.samples_per_shard": Bound(1, 10**7, "a shard is written and repeated whole"),
    "gate.samples": SAMPLES,
    "gate.require": Bound(-1e300, 1e300, "a finite number"),
}

SHARDS = 100_000  # of one job: names of receipts have five digits
LONGEST_TEXT = 100_000  # characters of one
LARGEST = 1 << 20  # bytes of one document as JSON, as of a YAML file


def table() -> str:
    """Return the rows of docs/bounds.md."""
    rows = [f"| `{name}` | {shown(b.least)} | {shown(b.most)} | {b.why} |" for name, b in BOUNDS.items()]
    return "\n".join(["| field | least | most | because |", "|---|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())
