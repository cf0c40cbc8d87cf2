"""YAML as people mean it: what is a number, what stays a string, what is refused with its line."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.specs.errors import SpecError
from jobs.specs.strict_yaml import DEEPEST, LARGEST, read, scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4), ("2", 2), ("-3", -3), (".5", 0.5), ("1.", 1.0), ("0", 0), ("true", True), ("false", False),
        ("null", None), ("~", None), ("no", "no"), ("on", "on"), ("Yes", "Yes"), ("True", "True"),
        ("61e9540", "61e9540"), ("0777", "0777"), ("1:30", "1:30"), ("2026-01-01", "2026-01-01"), ("0x1f", "0x1f"),
        ("1_000", "1_000"), ("-", "-"), (".", "."), ("e5", "e5"), (".inf", ".inf"), (".nan", ".nan"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_what_it_looks_like(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_quoted_scalars_stay_strings() -> None:
    assert read("a: \"1\"\nb: 'true'", "x.yaml")[0].value == {"a": "1", "b": "true"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\na: 2", "x.yaml:2: a: given twice; first on line 1"),
        ("a: &b 1\nc: *b", "x.yaml:2: not YAML: aliases"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "nested deeper than"),
        ("a: !!python/object:os.system 1", "x.yaml:1:"),
        ("a: [1", "x.yaml:1: not YAML"),
        ("a: \x00", "x.yaml:1: not YAML"),
        ("? [1]\n: 2", "a key is a plain word"),
    ],
)
def test_what_is_refused_names_file_and_line(text: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        read(text, "x.yaml")
    assert said in str(caught.value)


def test_a_file_of_more_than_a_mebibyte_is_refused() -> None:
    with pytest.raises(SpecError, match=r"x.yaml: larger than 1 MiB"):
        read("a: " + "x" * LARGEST, "x.yaml")


@given(st.text(max_size=200))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    with contextlib.suppress(SpecError):
        read(text, "x.yaml")
