"""Results survive JSON, and nothing else passes for them."""

import json
from dataclasses import replace

import pytest

from triops.bench.results import FORMAT, Results, Row, from_json, to_json
from triops.bench.timing import Spread
from triops.errors import LoadError

NUMPY = Row(
    backend="numpy",
    device="cpu:0",
    versions={"numpy": "2.0"},
    steps=1100,
    first_step_s=0.002,
    step_s=Spread(0.0004, 0.00039, 0.00041, 552),
    samples_per_s=320_000.0,
    speed=1.0,
    accuracy=0.983,
    difference=6.7e-7,
)
BROKEN = Row(backend="jax", device="cuda:0", versions={}, steps=3, error="RuntimeError: out of memory")
RESULTS = Results(
    case="digits",
    title="digits: a perceptron",
    settings={"epochs": 100, "batch_size": 128, "learn_rate": 0.003, "seed": 0},
    steps=1100,
    compared_steps=10,
    started="2026-01-02T03:04:05+00:00",
    load_average=0.1,
    interrupted=False,
    software={"triops": "0.1.0", "python": "3.11.7"},
    machine={
        "cpu": {
            "model": "Some CPU",
            "physical_cores": 2,
            "logical_cores": 4,
            "usable_cores": 4,
            "cgroup_cpus": None,
        },
        "gpus": [{"name": "Some GPU", "memory_bytes": 2**33, "driver": "1"}],
        "threads": {"settings": {}, "pools": []},
    },
    left_out={"cupy": "it needs a GPU: pip install 'triops[cupy-cuda13x]'"},
    rows=(NUMPY, BROKEN),
)


def test_round_trip() -> None:
    assert from_json(to_json(RESULTS)) == RESULTS


def test_the_format_is_numbered_and_times_are_seconds() -> None:
    content = json.loads(to_json(RESULTS))
    assert content["format"] == FORMAT == 1
    assert content["rows"][0]["step_s"]["median_s"] == 0.0004
    assert content["rows"][1]["step_s"] is None


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError):
        to_json(replace(RESULTS, rows=(replace(NUMPY, difference=float("nan")),)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("[]", "not a benchmark's results"),
        ("{}", "not a benchmark's results"),
        ('{"format": 2}', "have format 2, this triops reads 1"),
        ('{"format": 1}', "damaged"),
        ('{"format": 1, "rows": [1]}', "damaged"),
        (to_json(RESULTS).replace('"case"', '"cage"'), "damaged"),
        (to_json(RESULTS).replace('"device"', '"devise"'), "damaged"),
    ],
)
def test_what_is_no_result_is_refused(text: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        from_json(text)
