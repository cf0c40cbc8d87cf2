"""When things are due in a training, as pure functions of examples and seconds."""

TICK_SHARE = 0.9  # of tick_seconds that is aimed at
GROWTH = 4  # the most that one segment may have as a multiple of the one before


def next_multiple(examples: int, every: int) -> int:
    """Return the next multiple of `every` above `examples`."""
    return examples + every - examples % every


def passed_multiple(before: int, examples: int, every: int) -> bool:
    """Return whether a multiple of `every` lies in (before, examples]."""
    return examples // every > before // every


def next_steps_per_tick(steps: int, seconds: float, tick_seconds: float) -> int:
    """Return how many steps to go until the next tick, after these steps took these seconds."""
    wanted = int(TICK_SHARE * tick_seconds * steps / max(seconds, 1e-9))
    return max(1, min(wanted, GROWTH * steps))
