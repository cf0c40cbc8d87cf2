"""A process that decodes pictures: chunks come over its stdin, what became of them goes to its stdout."""

import pickle
import signal
import sys
from functools import partial

from trainers.data.decoding import fitted


def main() -> None:
    """Decode what comes over the pipe until it closes. Ctrl-C is the parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resolution, way = int(sys.argv[1]) or None, sys.argv[2] or None
    out = sys.stdout.buffer
    while True:
        try:
            contents: list[bytes] = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        results = [fitted(partial(_itself, content), resolution, way) for content in contents]  # type: ignore[arg-type]
        pickle.dump(results, out, pickle.HIGHEST_PROTOCOL)
        out.flush()


def _itself(content: bytes) -> bytes:
    return content


if __name__ == "__main__":
    main()
