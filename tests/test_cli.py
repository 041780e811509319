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
from tests.bench.samples import timed
from triops import available_backends
from triops.bench.results import from_json, to_json
from triops.cli import main

MEASURED = ("sklearn", "psutil", "cpuinfo", "jsonschema")


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


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(monkeypatch, capsys, "--version") == (0, f"triops {triops.__version__}\n", "")


def test_info_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy

    monkeypatch.delenv("TRIOPS_BACKEND", raising=False)
    # Before: to say whether kernels have a BLAS loads it.
    blas = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    code, out, err = cli(monkeypatch, capsys, "info", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["triops"] == triops.__version__
    assert found["backends"]["numpy"]["versions"]["numpy"] == numpy.__version__
    assert found["TRIOPS_BACKEND"] is None
    assert found["current"] is not None
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
        (["--suite", "opera"], "unknown suite 'opera': choose from ops, layers, train, predict, overhead"),
        (["--size", "small,huge"], "unknown size 'huge'"),
        (["--dtype", "int8"], "unknown dtype 'int8'"),
        (["--threads", "0"], "threads must be from 1 to"),
        (["--filter", "no such case"], "no case has 'no such case' in its name"),
        (["--batch-size", "3"], "batch sizes are for a model of one's own"),
        (["--model", "nothing"], "a model is given as package.module:function, got 'nothing'"),
        (["--output", "."], "cannot write .: it is a folder"),
        (["--output", "no/such/folder/run.json"], "cannot write no/such/folder/run.json"),
        (["--output", os.devnull], f"cannot write {os.devnull}: it is a device"),
    ],
)
def test_wrong_input_is_one_line_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    need(*MEASURED)
    code, out, err = cli(monkeypatch, capsys, "bench", "run", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"triops: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--threads", "many"], ["--colour", "red"], ["more"]])
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


def test_a_run_prints_a_table_and_writes_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    need(*MEASURED)
    path = tmp_path / "run.json"
    arguments = ["--backend", "numpy", "--quick", "--filter", "relu_call,digits", "--size", "small"]
    code, out, _ = cli(monkeypatch, capsys, "bench", "run", *arguments, "--output", str(path))
    assert code == 0
    assert all(len(line) <= 80 for line in out.splitlines())
    digits, relu = from_json(path.read_text()).rows
    assert (digits.case, relu.case) == ("digits", "relu_call")
    cells = next(line.split() for line in out.splitlines() if line.startswith("relu_call 1x8"))
    assert relu.median_s is not None
    assert cells[2] == "numpy"
    assert float(cells[5]) * {"us": 1e-6, "ns": 1e-9}[cells[6]] == pytest.approx(relu.median_s, rel=0.01)
    assert f"accuracy {digits.found['accuracy']:.1%}" in " ".join(out.split())
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


def test_a_case_that_fails_is_exit_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need(*MEASURED)
    arguments = ["--backend", "numpy", "--quick", "--filter", "relu_call", "--dtype", "bfloat16"]
    code, out, _ = cli(monkeypatch, capsys, "bench", "run", *arguments)
    assert code == 1
    assert "relu_call failed on numpy cpu:0: " in " ".join(out.split())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.skipif(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="the shell has SIGINT ignored")
def test_ctrl_c_prints_and_writes_what_is_done(tmp_path: Path) -> None:
    need(*MEASURED)
    path = tmp_path / "run.json"
    command = ["bench", "run", "--backend", "numpy", "--filter", "softmax", "--output", str(path)]
    with subprocess.Popen(
        [sys.executable, "-m", "triops", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:
            if "done" in line and not line.startswith("0%") and "compiled" not in line:
                break
        process.send_signal(signal.SIGINT)
        deadline = time.monotonic() + 30
        out = process.stdout.read()
        assert process.wait(deadline - time.monotonic()) == 130
        assert "Traceback" not in process.stderr.read()
    results = from_json(path.read_text())
    assert results.interrupted
    done = sum(len(row.turns) for row in results.rows)
    assert 0 < done < 12 * len(results.rows)
    assert f"stopped by hand after {done} of {12 * len(results.rows)} turns" in " ".join(out.split())


@pytest.mark.parametrize("statement", ["import triops", "import triops.bench.run, triops.bench.info"])
def test_the_library_does_not_load_what_only_the_command_line_needs(statement: str) -> None:
    script = f"{statement}, sys; print({{'typer', 'rich', 'sklearn', 'psutil', 'jax'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def saved(path: Path, name: str, factor: float) -> str:
    file = path / f"{name}.json"
    file.write_text(to_json(timed(name, factor, 1)))
    return str(file)


def test_compare_is_a_gate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    need("jsonschema")
    base, same, slow = (saved(tmp_path, name, factor) for name, factor in (("a", 1), ("b", 1), ("c", 1.4)))
    code, out, err = cli(monkeypatch, capsys, "bench", "compare", base, same, "--fail-below", "0.9")
    assert (code, err) == (0, "")
    assert "of 5 cases: 5 no difference" in out
    code, out, err = cli(monkeypatch, capsys, "bench", "compare", base, slow, "--fail-below", "0.9")
    assert code == 1
    assert "c: relu 4000x288 float32 on numpy cpu:0 has 0.7" in err
    assert out.count("slower") == 6
    code, out, err = cli(monkeypatch, capsys, "bench", "compare", base, slow, "--baseline", "c", "--csv")
    assert code == 0
    assert out.count(",faster") == 5
    assert cli(monkeypatch, capsys, "bench", "compare", base, slow, "--markdown")[1].count("| slower |") == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "a.json"], "compare takes two files or more"),
        (["compare", "a.json", "none.json"], "cannot read none.json: No such file or directory"),
        (["compare", "a.json", "damaged.json"], "damaged.json: not a benchmark's results: this is no JSON"),
        (["compare", "a.json", "a.json", "--baseline", "b"], "no file is named 'b'"),
        (["compare", "a.json", "a.json", "--csv", "--markdown"], "--markdown and --csv exclude each other"),
        (["report", "a.json", "--html", "no/such/folder/page.html"], "cannot write no/such/folder/page.html"),
    ],
)
def test_wrong_files_are_one_line_on_stderr(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    need("jsonschema")
    saved(tmp_path, "a", 1.0)
    (tmp_path / "damaged.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    code, out, err = cli(monkeypatch, capsys, "bench", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"triops: {message}")
    assert err.count("\n") == 1


def test_the_schema_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = cli(monkeypatch, capsys, "bench", "schema")
    assert code == 0
    assert json.loads(out)["properties"]["format"] == {"const": 3}


needs_a_full_device = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="there is no device that is always full"
)


def into_a_full_device(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triops", *arguments]
    with Path("/dev/full").open("w") as full:
        return subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)


@needs_a_full_device
@pytest.mark.parametrize("arguments", [["bench", "schema"], ["--version"]])
def test_an_output_that_takes_no_more_is_one_line_on_stderr(arguments: list[str]) -> None:
    done = into_a_full_device(*arguments)
    assert done.returncode == 2
    assert done.stderr == "triops: cannot write the output: No space left on device\n"


@needs_a_full_device
def test_results_are_kept_where_the_table_cannot_be_printed(tmp_path: Path) -> None:
    need(*MEASURED)
    path = tmp_path / "run.json"
    chosen = ["--backend", "numpy", "--quick", "--filter", "relu_call", "--output", str(path)]
    assert into_a_full_device("bench", "run", *chosen).returncode == 2
    assert [row.case for row in from_json(path.read_text()).rows] == ["relu_call"]
