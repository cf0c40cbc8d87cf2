"""Regular expressions that a spec brings, matched by RE2: in time linear in the text, whatever the expression."""

from functools import lru_cache
from typing import Any

LONGEST = 500  # characters of one expression
LARGEST = 1 << 17  # bytes that a compiled one may take: what `.{1000}` in a row becomes is refused


@lru_cache(maxsize=1000)
def compiled(pattern: str) -> Any:
    """Return the expression over bytes. Raises ValueError saying what is wrong with it."""
    import re2  # the command line does without it

    options = re2.Options()
    options.max_mem, options.log_errors = LARGEST, False
    try:
        return re2.compile(pattern.encode("utf-8", "replace"), options)
    except re2.error as error:
        reason = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"{pattern!r} is no regular expression of RE2: {reason}") from None


def found(pattern: str, text: str) -> bool:
    """Decide whether the expression matches anywhere in the text."""
    return compiled(pattern).search(text.encode("utf-8", "replace")) is not None
