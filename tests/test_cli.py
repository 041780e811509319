"""The command line, from outside: what it prints, and its exit status."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import threadpoolctl

import triops
from tests.subject import ops_or_skip
from triops import available_backends
from triops.bench.results import from_json
from triops.cli import main

MEASURED = ("sklearn", "psutil", "cpuinfo")


def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `triops ARGUMENTS`, at 80 columns."""
    monkeypatch.setattr(sys, "argv", ["triops", *arguments])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def need(*modules: str) -> None:
    for module in modules:
        pytest.importorskip(module, reason=f"{module} is not installed")


def test_info_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy

    monkeypatch.delenv("TRIOPS_BACKEND", raising=False)
    code, out, err = cli(monkeypatch, capsys, "info", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["triops"] == triops.__version__
    assert found["backends"]["numpy"]["versions"]["numpy"] == numpy.__version__
    assert found["TRIOPS_BACKEND"] is None
    assert found["current"] is not None
    blas = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    shown = [pool for pool in found["machine"]["threads"]["pools"] if pool["user_api"] == "blas"]
    assert [pool["version"] for pool in shown] == [pool["version"] for pool in blas]
    for name, status in available_backends().items():
        assert found["backends"][name]["available"] == status.available
        assert found["backends"][name]["reason"] == status.reason


def test_info_as_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy

    code, out, err = cli(monkeypatch, capsys, "info")
    words = " ".join(out.split())
    assert (code, err) == (0, "")
    assert all(len(line) <= 80 for line in out.splitlines())
    assert f"numpy cpu:0; numpy {numpy.__version__}" in words
    for pool in threadpoolctl.threadpool_info():
        assert (pool["version"] or pool["internal_api"]) in words
    for status in available_backends().values():
        assert status.available or " ".join(status.reason.split()) in words
    compiled = "compiled by Numba" if "numba" in available_backends()["numpy"].versions else "none compiled"
    assert f"CPU kernels {compiled}" in words
    kernels = json.loads(cli(monkeypatch, capsys, "info", "--json")[1])["compiled_cpu_kernels"]
    if kernels["used"]:
        threads = kernels["threads"]
        assert threads == triops.get_num_threads()
        assert f"{threads} thread" in words.split("CPU kernels", 1)[1]
        assert Path(kernels["cache"]).is_dir()
        assert kernels["cache"] in "".join(out.split())


def test_info_of_a_wrong_choice_in_the_environment_says_so_and_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "triops", "info", "--json"],
        env=os.environ | {"TRIOPS_BACKEND": "abacus"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["TRIOPS_BACKEND"] == "abacus"
    assert found["current"] is None
    assert "TRIOPS_BACKEND=abacus: unknown backend 'abacus'" in found["current_reason"]


def test_info_without_psutil_tells_the_rest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    code, out, _ = cli(monkeypatch, capsys, "info")
    words = " ".join(out.split())
    assert code == 0
    assert "pip install 'triops[bench]'" in words
    assert "numpy cpu:0; numpy" in words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "abacus"], "unknown backend 'abacus': choose one of"),
        (["--device", "cuda:99"], "no backend can use the device 'cuda:99'"),
        (["--backend", "numpy", "--device", "cpu:1"], "backend 'numpy' has no device 'cpu:1' here"),
        (["--epochs", "0"], "epochs must be 1 or more, got 0"),
        (["--batch-size", "-3"], "batch size must be from 1 to 1437"),
        (["--learn-rate", "nan"], "learn rate must be a finite number above 0"),
        (["--seed", "-1"], "seed must be 0 or more, got -1"),
        (["--output", "."], "cannot write .: it is a folder"),
        (["--output", "no/such/folder/run.json"], "cannot write no/such/folder/run.json"),
    ],
)
def test_wrong_input_is_one_line_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, out, err = cli(monkeypatch, capsys, "bench", "run", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"triops: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--epochs", "many"], ["--colour", "red"], ["more"]])
def test_what_is_no_option_or_no_number_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, out, err = cli(monkeypatch, capsys, "bench", "run", *arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert arguments[0] in err or arguments[-1] in err


def test_a_backend_that_is_not_here_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = available_backends()["cupy"]
    if status.available:
        pytest.skip("CuPy works here")
    code, out, err = cli(monkeypatch, capsys, "bench", "run", "--backend", "cupy")
    assert (code, out) == (2, "")
    assert err == f"triops: {' '.join(status.reason.split())}\n"


def test_without_scikit_learn_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    code, _, err = cli(monkeypatch, capsys, "bench", "run", "--backend", "numpy")
    assert code == 2
    assert "pip install 'triops[bench]'" in err
    assert err.count("\n") == 1


def test_a_run_prints_a_table_and_writes_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    need(*MEASURED)
    path = tmp_path / "run.json"
    code, out, err = cli(
        monkeypatch, capsys, "bench", "run", "--backend", "numpy", "--epochs", "1", "--output", str(path)
    )
    assert code == 0
    results = from_json(path.read_text())
    (row,) = results.rows
    assert row.accuracy is not None
    assert row.difference is not None
    assert row.step_s is not None
    cells = next(line.split() for line in out.splitlines() if line.startswith("numpy"))
    assert cells[:2] == ["numpy", "cpu:0"]
    assert cells[5:] == ["1.00", f"{row.accuracy:.1%}", f"{row.difference:.1e}"]
    assert float(cells[3]) == pytest.approx(1e3 * row.step_s.median_s, rel=0.01)
    assert err.startswith("training 11 steps on each of numpy cpu:0\n")
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_a_backend_that_fails_is_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need(*MEASURED)
    from triops.bench.digits import DigitsTraining

    def breaks(self: DigitsTraining, number: int) -> float:
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(DigitsTraining, "step", breaks)
    code, out, _ = cli(monkeypatch, capsys, "bench", "run", "--backend", "numpy", "--epochs", "1")
    assert code == 1
    assert "numpy cpu:0 failed after 0 steps: RuntimeError: the device is gone" in " ".join(out.split())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_prints_and_writes_what_is_done(tmp_path: Path) -> None:
    need(*MEASURED)
    path = tmp_path / "run.json"
    command = ["bench", "run", "--backend", "numpy", "--epochs", "1000000", "--output", str(path)]
    with subprocess.Popen(
        [sys.executable, "-m", "triops", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:  # the second line comes after the first second of training
            if "done" in line:
                break
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 30
        out = process.stdout.read()
        assert process.wait(deadline - time.monotonic()) == 130
        assert "Traceback" not in process.stderr.read()
    results = from_json(path.read_text())
    (row,) = results.rows
    assert results.interrupted
    assert 0 < row.steps < results.steps
    assert f"numpy cpu:0 was stopped after {row.steps} of {results.steps} steps" in " ".join(out.split())


@pytest.mark.parametrize("statement", ["import triops", "import triops.bench.run, triops.bench.info"])
def test_the_library_does_not_load_what_only_the_command_line_needs(statement: str) -> None:
    script = f"{statement}, sys; print({{'typer', 'rich', 'sklearn', 'psutil', 'jax'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_backend_that_is_here_is_measured_by_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need(*MEASURED)
    ops_or_skip("jax")
    code, out, _ = cli(monkeypatch, capsys, "bench", "run", "--epochs", "1")
    assert code == 0
    starts = [line.split()[0] for line in out.splitlines() if line]
    for name, status in available_backends().items():
        assert (name in starts) or not status.available
