"""A file on disk is the old model or the new one, whatever happens while it is written."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from triops import Model, use_ops
from triops.errors import SaveError
from triops.models import Linear, Relu, chain


def network(seed: int) -> Model:
    with use_ops("numpy"):
        return chain(Relu(8, 4), Linear(3, 8)).initialize(seed=seed)


OLD, NEW = network(1), network(2)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    OLD.to_disk(path)
    NEW.to_disk(path)
    assert path.read_bytes() == NEW.to_bytes()
    assert os.listdir(tmp_path) == ["model.bin"]


class Full(OSError):
    pass


@pytest.mark.parametrize(
    "error", [Full(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("first", [True, False])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    error: BaseException, step: str, first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.bin"
    if not first:
        OLD.to_disk(path)

    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)) as caught:
        NEW.to_disk(path)
    monkeypatch.undo()
    assert caught.value is error
    assert os.listdir(tmp_path) == ([] if first else ["model.bin"])
    assert first or path.read_bytes() == OLD.to_bytes()


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the write itself fails, half way."""
    pytest.importorskip("resource")
    path = tmp_path / "model.bin"
    OLD.to_disk(path)
    script = f"""
import resource, signal
from triops import Model
from triops.models import Linear
model = Linear(300, 300).initialize()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    model.to_disk({str(path)!r})
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) == errno.EFBIG
    assert os.listdir(tmp_path) == ["model.bin"]
    assert path.read_bytes() == OLD.to_bytes()


def test_a_model_that_cannot_be_saved_touches_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    OLD.to_disk(path)
    model = NEW.copy()
    model.layers[0].attrs["function"] = print
    with pytest.raises(SaveError, match="chain > 0:relu"):
        model.to_disk(path)
    assert path.read_bytes() == OLD.to_bytes()
    assert os.listdir(tmp_path) == ["model.bin"]


def test_folders_that_are_missing_or_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        NEW.to_disk(tmp_path / "missing" / "model.bin")
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError):
        NEW.to_disk(tmp_path / "file" / "model.bin")
    with pytest.raises(SaveError, match="is a folder or a device"):
        NEW.to_disk(tmp_path)
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file system with named pipes")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SaveError, match="is a folder or a device"):
        NEW.to_disk(tmp_path / "pipe")
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(SaveError):
        NEW.to_disk(os.devnull)
    assert not Path(os.devnull).is_file()


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    target, link = tmp_path / "models" / "first.bin", tmp_path / "latest.bin"
    OLD.to_disk(target)
    link.symlink_to(target)
    NEW.to_disk(link)
    assert link.is_symlink()
    assert target.read_bytes() == NEW.to_bytes()
    assert os.listdir(target.parent) == ["first.bin"]


def test_permissions_stay(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    OLD.to_disk(path)
    path.chmod(0o640)
    NEW.to_disk(path)
    assert path.stat().st_mode & 0o777 == 0o640


def test_names_of_all_kinds(tmp_path: Path) -> None:
    for name in ("Modell für Wörter", "model", ".hidden", "a.b.c", "x" * 200):
        NEW.to_disk(tmp_path / name)
        assert (tmp_path / name).read_bytes() == NEW.to_bytes()


def test_readers_and_writers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    OLD.to_disk(path)
    done, failures = threading.Event(), []

    def write(model: Model) -> None:
        while not done.is_set():
            model.to_disk(path)

    writers = [threading.Thread(target=write, args=(model,)) for model in (OLD, NEW)]
    for writer in writers:
        writer.start()
    try:
        valid = {OLD.to_bytes(), NEW.to_bytes()}
        for _ in range(100):
            reader = network(3)
            reader.from_disk(path)
            if reader.to_bytes() not in valid:
                failures.append(reader)
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert not failures
    assert os.listdir(tmp_path) == ["model.bin"]


WRITER = """
import sys
from triops.models import Linear
models = [Linear(1000, 1000).initialize(seed=seed) for seed in (1, 2)]
print("ready", flush=True)
while True:
    for model in models:
        model.to_disk(sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_process_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    with use_ops("numpy"):
        models = [Linear(1000, 1000).initialize(seed=seed) for seed in (1, 2)]
        reader = Linear(1000, 1000)
    valid = {model.to_bytes() for model in models}
    models[0].to_disk(path)
    for attempt in range(4):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(random.Random(attempt).uniform(0, 0.1))
            process.kill()
        assert path.read_bytes() in valid
        reader.from_disk(path)
