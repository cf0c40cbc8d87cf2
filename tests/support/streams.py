"""The stream of a family that is fed one set of examples."""

from typing import Any

from trainers.data.packed import PackedData
from trainers.data.stream import Stream
from trainers.gan.family import REAL, Input
from trainers.randomness.groups import Share


def stream_of(data: PackedData, share: Share, **options: Any) -> Stream:
    return Stream((Input(name=REAL),), {REAL: data}, share, **options)
