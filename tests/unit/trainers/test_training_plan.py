from hypothesis import given
from hypothesis import strategies as st

from trainers.cadence import GROWTH, next_pace, passed_multiple, steps_to_multiple

counts = st.integers(1, 10_000)


@given(examples=st.integers(0, 10**6), every=counts, per_step=counts)
def test_the_next_multiple_is_reached_by_these_steps_and_by_no_fewer(examples: int, every: int, per_step: int):
    steps = steps_to_multiple(examples, every, per_step)
    assert steps >= 1
    assert passed_multiple(examples, examples + steps * per_step, every)
    assert steps == 1 or not passed_multiple(examples, examples + (steps - 1) * per_step, every)


@given(steps=st.integers(1, 10_000), seconds=st.floats(1e-6, 1e4), tick=st.floats(0.1, 60))
def test_a_segment_of_the_agreed_steps_takes_no_longer_than_a_tick(steps: int, seconds: float, tick: float):
    pace = next_pace(steps, seconds, tick)
    assert 1 <= pace <= GROWTH * steps
    assert pace == 1 or pace * seconds / steps <= tick
