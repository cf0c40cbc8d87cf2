"""When things are due in a training, as pure functions of examples and seconds."""

TICK_SHARE = 0.9  # of tick_seconds that is aimed at
GROWTH = 4  # the most that one segment may have as a multiple of the one before


def steps_to_multiple(examples: int, every: int, per_step: int) -> int:
    """Steps until the next multiple of `every` is reached or passed."""
    return -(-(every - examples % every) // per_step)


def passed_multiple(before: int, examples: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, examples]."""
    return examples // every > before // every


def next_pace(steps: int, seconds: float, tick_seconds: float) -> int:
    """How many steps to go until the next tick, after these steps took these seconds."""
    wanted = int(TICK_SHARE * tick_seconds * steps / max(seconds, 1e-9))
    return max(1, min(wanted, GROWTH * steps))
