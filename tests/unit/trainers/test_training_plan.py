from hypothesis import given
from hypothesis import strategies as st

from trainers.cadence import GROWTH, next_multiple, next_steps_per_tick, passed_multiple

counts = st.integers(1, 10_000)


@given(examples=st.integers(0, 10**6), every=counts)
def test_the_next_multiple_is_the_first_that_is_passed(examples: int, every: int):
    following = next_multiple(examples, every)
    assert following % every == 0
    assert passed_multiple(examples, following, every)
    assert not passed_multiple(examples, following - 1, every)


@given(steps=st.integers(1, 10_000), seconds=st.floats(1e-6, 1e4), tick=st.floats(0.1, 60))
def test_a_segment_of_the_agreed_steps_takes_no_longer_than_a_tick(steps: int, seconds: float, tick: float):
    following = next_steps_per_tick(steps, seconds, tick)
    assert 1 <= following <= GROWTH * steps
    assert following == 1 or following * seconds / steps <= tick
