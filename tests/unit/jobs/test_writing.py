"""What people write into a file without seeing it: each is told with its line, and with what to write instead."""

from pathlib import Path

import pytest

from jobs.specs import load
from jobs.specs.errors import SpecError, did_you_mean

JOB = "kind: train\nname: a\nmodel: {family: dcgan}\ndata: {source: fashion-mnist}\n"


def told(content: bytes | str, folder: Path) -> str:
    path = folder / "1.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SpecError) as error:
        load.load_file(path)
    return str(error.value).replace(f"{path}:", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (JOB.replace("name: a", "name: 12"), "2: name: a text is expected; put it in quotes: '12'"),
        (JOB.replace("name: a", "name: true"), "2: name: a text is expected; put it in quotes: 'True'"),
        (JOB + "labels: {since: 2026}\n", "5: labels.since: a text is expected; put it in quotes: '2026'"),
        (JOB + "schedule: {cron: */5 * * * *}\n", "5: not YAML: "),
        (JOB + "schedule: {cron: */5 * * * *}\n", "a value that begins with '*' goes in quotes: '*/5 * * * *'"),
        (JOB + "schedule:\n  cron: */5 * * * *  # often\n", "goes in quotes: '*/5 * * * *'"),
        (JOB + "schedule:\n  cron: @daily\n", "a value that begins with '@' goes in quotes: '@daily'"),
        (JOB + "model:\n\tfamily: dcgan\n", "indent with spaces"),
        ("kind:\u00a0train\nname: a\n", "the line has an invisible character, U+00A0 (no-break space)"),
        (
            JOB.replace("kind", "kınd"),
            "1: kınd: the field's name has the letter 'ı', U+0131 (latin small letter dotless i)",
        ),
        (JOB.replace("kind", "кind"), "U+043A (cyrillic small letter ka)"),
        (JOB.replace("kind", "kind\u200b"), "an invisible character, U+200B (zero width space)"),
        (JOB + "train:\n\u00a0 batch_size: 3\n", "6: \u00a0 batch_size: the field's name has an invisible character"),
        (JOB + "params: {n: 1}\nlabels: {a: '${params.n'}\n", "6: labels.a: a reference ends with }: ${params.NAME}"),
        (JOB + "labels: {a: '${foo}'}\n", "5: labels.a: unknown reference ${foo}; the document has no params"),
        (JOB + "timeout: 90\n", "5: timeout: a duration has a unit: 90s, 90m or 90h (got 90)"),
        (JOB + "retry:\n  backoff: 1.5\n", "6: retry.backoff: a duration has a unit: 1.5s, 1.5m or 1.5h (got 1.5)"),
        (JOB + "timeout: 0s\n", "5: timeout: a number from 0.001 to"),
        (JOB + "timeout: 10 parsecs\n", "5: timeout: a duration is expected, such as 90s, 10m, 2h or 7d"),
        (JOB + "timeout: 99999999999999999999s\n", "5: timeout: a number from"),
        (JOB + "timeout: -5m\n", "5: timeout: a duration is expected"),
        (JOB.replace("{source: fashion-mnist}", ""), "4: data: a mapping of fields is expected (got nothing)"),
        (JOB.replace("{family: dcgan}", "dcgan"), "3: model: a mapping of fields is expected (got 'dcgan')"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_the_way_out(text: str, message: str, tmp_path: Path) -> None:
    assert message in told(text, tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"kind: train\nname: a\n# caf\xe9\n", "3: byte 0xe9 is no UTF-8 text; save the file as UTF-8"),
        (b"\x80", "1: byte 0x80 is no UTF-8 text"),
        (JOB.encode("utf-16"), "1: is UTF-16 text; save it as UTF-8"),
        (b"\xfe\xff" + JOB.encode("utf-16-be"), "1: is UTF-16 text; save it as UTF-8"),
    ],
)
def test_a_file_in_another_encoding_is_told(content: bytes, message: str, tmp_path: Path) -> None:
    assert message in told(content, tmp_path)


@pytest.mark.parametrize(
    "more",
    [
        "retry: {backoff: 0}\n",
        "timeout: 90s\n",
        "ttl: null\n",
        "labels: {größe: 'Zürich 東京'}\n",
        "labels: {price: '$5', shell: '$(x)'}\n",
        "environment: {}\n",
    ],
)
def test_what_is_right_is_taken(more: str, tmp_path: Path) -> None:
    path = tmp_path / "1.yaml"
    path.write_text(JOB + more, encoding="utf-8")
    assert load.load_file(path)[0].name == "a"


def test_few_choices_are_listed_and_many_are_not() -> None:
    assert did_you_mean("z", ["b", "a"]) == "; choices: a, b"
    assert did_you_mean("aaaa", map(str, range(100, 700))).startswith("; there are 600, such as 100, 220")
    assert did_you_mean("Europe/Zurch", ["Europe/Zurich", *map(str, range(100))]) == "; did you mean 'Europe/Zurich'?"
