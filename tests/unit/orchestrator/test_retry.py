from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.specs.spec import Retry as Policy
from jobs.specs.spec import Rule
from orchestrator.policies.retry import (
    ACTIONS,
    LIMITS,
    LONGEST_BACKOFF,
    MOST_ATTEMPTS,
    GiveUp,
    Retry,
    avoided,
    backoff,
    decide,
    found_in,
    ruled,
)
from orchestrator.records import Attempt


def attempts(*failures: str | None) -> list[Attempt]:
    return [
        Attempt(
            id=f"job-{number}",
            job_id="job",
            number=number,
            workers=1,
            cpus_per_worker=1,
            gpus_per_worker=0,
            placement={},
            status="LOST" if failure else "STOPPED",
            failure=failure,
            created=0.0,
        )
        for number, failure in enumerate(failures, 1)
    ]


def test_a_lost_attempt_is_retried_after_its_back_off() -> None:
    decision = decide("lost", attempts("lost"), Policy(limit=3, backoff=10), now=1000)
    assert isinstance(decision, Retry)
    assert 1007.5 <= decision.at <= 1012.5


def test_the_limit_counts_further_attempts() -> None:
    policy = Policy(limit=2)
    assert isinstance(decide("lost", attempts("lost", "lost"), policy, 0), Retry)
    assert isinstance(decide("lost", attempts("lost", "lost", "lost"), policy, 0), GiveUp)


def test_stops_that_were_asked_for_cost_nothing() -> None:
    past = attempts(None, None, None, "lost")
    assert isinstance(decide("lost", past, Policy(limit=1), 0), Retry)


def test_failures_of_the_job_itself_are_not_retried() -> None:
    for failure in ("bad_data", "diverged", "user_code", "gate", "something nobody named"):
        assert isinstance(decide(failure, attempts(failure), Policy(limit=9), 0), GiveUp)


def test_a_rule_of_the_spec_goes_first() -> None:
    policy = Policy(rules=(Rule(failure="diverged", action="retry"), Rule(failure="lost", action="fail")))
    assert isinstance(decide("diverged", attempts("diverged"), policy, 0), Retry)
    assert isinstance(decide("lost", attempts("lost"), policy, 0), GiveUp)


@given(st.sampled_from(sorted(set(ACTIONS) - {"preempted"})), st.integers(0, 5), st.integers(1, 12))
def test_attempts_are_bounded(failure: str, limit: int, made: int) -> None:
    decision = decide(failure, attempts(*[failure] * made), Policy(limit=limit), 0)
    if made > limit:
        assert isinstance(decision, GiveUp)


@given(st.floats(0, 1e4), st.integers(1, 50), st.text())
def test_a_back_off_is_bounded_and_repeatable(first: float, failed: int, id: str) -> None:
    seconds = backoff(first, failed, id)
    assert 0 <= seconds <= LONGEST_BACKOFF * 1.25
    assert seconds == backoff(first, failed, id)


def test_back_offs_double_and_spread() -> None:
    assert backoff(10, 2, "x") == 2 * backoff(10, 1, "x")
    assert backoff(10, 1, "x") != backoff(10, 1, "y")


RULES = (
    Rule(exit_code=33, action="ignore"),
    Rule(failure="user_code", log="CUDA error", action="retry"),
    Rule(log="no such file", action="fail"),
    Rule(failure="lost", action="fail"),
)


@pytest.mark.parametrize(
    ("failure", "exit_code", "text", "action"),
    [
        ("user_code", 33, "", "ignore"),
        ("lost", 33, "", "ignore"),
        ("user_code", 1, "RuntimeError: CUDA error: an illegal access", "retry"),
        ("user_code", 1, "RuntimeError: something else", "fail"),
        ("storage", None, "CUDA error", "retry"),
        ("storage", None, "no such file", "fail"),
        ("lost", None, "", "fail"),
        ("worker", None, "", "retry"),
        ("diverged", None, "", "fail"),
    ],
)
def test_the_first_rule_whose_conditions_all_hold(failure: str, exit_code: int | None, text: str, action: str) -> None:
    assert ruled(failure, exit_code, found_in(RULES, "", text), RULES) == action


def test_what_is_nobodys_fault_costs_nothing_and_still_ends() -> None:
    decision = decide("preempted", attempts(*["preempted"] * 50), Policy(limit=0), 0)
    assert isinstance(decision, Retry)
    assert decision.excused
    past = [replace(attempt, excused=True) for attempt in attempts(*["preempted"] * 50)]
    assert isinstance(decide("lost", [*past, *attempts("lost")], Policy(limit=1), 0), Retry)
    assert isinstance(decide("preempted", attempts(*["preempted"] * (MOST_ATTEMPTS + 1)), Policy(), 0), GiveUp)


@pytest.mark.parametrize(("failure", "limit"), sorted(LIMITS.items()))
def test_some_causes_have_less_of_the_budget(failure: str, limit: int) -> None:
    assert isinstance(decide(failure, attempts("lost", *[failure] * limit), Policy(limit=9), 0), Retry)
    decision = decide(failure, attempts(*[failure] * (limit + 1)), Policy(limit=9), 0)
    assert isinstance(decision, GiveUp)
    assert f"{limit + 1} attempts ended so" in decision.reason


def test_nodes_of_repeated_faults_are_avoided() -> None:
    past = [replace(attempt, placement={"bad": 1, f"n{attempt.number}": 1}) for attempt in attempts("lost", "worker")]
    assert avoided(past) == ("bad",)
    assert avoided(past[:1]) == ()
    assert avoided([replace(attempt, failure="bad_data") for attempt in past]) == ()
