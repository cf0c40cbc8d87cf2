"""The end of what a process prints, for rules on its log: Ray prints the workers' lines through the driver's streams."""

import io
from collections.abc import Iterable
from typing import BinaryIO, TextIO

MOST = 20_000  # characters


class Tail:
    def __init__(self, most: int = MOST) -> None:
        self.most, self._text = most, ""

    @property
    def text(self) -> str:
        return self._text[-self.most :]

    def add(self, text: str) -> None:
        self._text += text
        if len(self._text) > 2 * self.most:  # not at every line
            self._text = self._text[-self.most :]


class Tee(io.TextIOBase):
    """Writes to a stream as before, and to a tail."""

    def __init__(self, stream: TextIO, tail: Tail) -> None:
        self.stream, self.tail = stream, tail

    def write(self, text: str) -> int:
        self.tail.add(text)
        return self.stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:  # type: ignore[override]
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.stream.flush()

    def fileno(self) -> int:
        return self.stream.fileno()

    def isatty(self) -> bool:
        return self.stream.isatty()

    @property
    def buffer(self) -> BinaryIO:
        return self.stream.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding
