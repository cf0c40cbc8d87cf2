"""The numbers of workers that can share a batch's groups."""

from functools import lru_cache
from math import isqrt


@lru_cache(maxsize=10_000)
def divisors(number: int) -> tuple[int, ...]:
    """Return all, rising, in as many steps as the square root of the number."""
    small = [n for n in range(1, isqrt(number) + 1) if number % n == 0]
    return tuple(dict.fromkeys([*small, *(number // n for n in reversed(small))]))
