"""Results survive JSON, and nothing else passes for them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.samples import RELU, RUN
from triops.bench.results import FORMAT, from_json, read_run, run_schema, to_json
from triops.errors import ArgumentError, LoadError

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")


def test_round_trip() -> None:
    assert replace(from_json(to_json(RUN)), name="base") == RUN


def test_the_schema_is_one_and_describes_what_is_written() -> None:
    jsonschema.Draft202012Validator.check_schema(run_schema())
    content = json.loads(to_json(RUN))
    jsonschema.validate(content, run_schema())
    assert content["format"] == FORMAT == run_schema()["properties"]["format"]["const"]
    summary = content["rows"][0]["summary"]
    assert summary["low_s"] <= summary["median_s"] == RELU.median_s <= summary["high_s"]
    assert content["rows"][5]["summary"]["median_s"] is None


def test_what_follows_from_the_turns() -> None:
    assert RELU.median_s == sorted(RELU.times)[4]
    assert RELU.share == pytest.approx(0.4, rel=0.1)
    assert not RELU.wrong
    assert replace(RELU, difference=1.0).wrong
    assert replace(RELU, difference=None).wrong
    assert not replace(RELU, difference=None, turns=()).wrong


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError):
        to_json(replace(RUN, rows=(replace(RELU, difference=float("nan")),)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("[]", "not a benchmark's results"),
        ("{}", "not a benchmark's results"),
        ('{"format": 2}', "have format 2, this triops reads 3"),
        ('{"format": 3}', "damaged: .* required property"),
        ('{"format": 3, "rows": [1]}', "damaged"),
        (to_json(RUN).replace('"case"', '"cage"'), r"damaged: .* in rows\[\d\]"),
        (to_json(RUN).replace('"mean_s": 0', '"mean_s": -0'), r"damaged: .* in rows\[\d\]"),
        (to_json(RUN)[: len(to_json(RUN)) // 2], "no JSON"),
        (to_json(RUN).replace('"mean_s": 0', '"mean_s": NaN, "was": 0'), "no JSON .*NaN"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_result_is_refused(text: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        from_json(text)


def test_a_file_gives_its_name_and_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    with pytest.raises(ArgumentError, match=r"cannot read .*mine\.json"):
        read_run(path)
    path.write_text(to_json(RUN))
    assert read_run(path).name == "mine"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LoadError, match=r"mine\.json: not a benchmark's results: this is no text"):
        read_run(path)
    path.write_text("[]")
    with pytest.raises(LoadError, match=r"mine\.json: not a benchmark's results"):
        read_run(path)
