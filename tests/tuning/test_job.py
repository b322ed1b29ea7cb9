"""Whole jobs, as Ray runs them: processes of their own that are killed, told to end, and run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from presets.tuning_job import JOB_VARIABLE, TuningJob, TuningProgress
from tests.tuning.jobs import job
from tuning.__main__ import main
from tuning.errors import TuningError
from tuning.run import run as run_here

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
STEPS = 8


def started(asked: TuningJob | str) -> subprocess.Popen[str]:
    text = asked if isinstance(asked, str) else asked.model_dump_json()
    return subprocess.Popen(
        [sys.executable, "-m", "tuning"],
        cwd=PROJECT,
        env={**os.environ, JOB_VARIABLE: text},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def told(process: subprocess.Popen[str]) -> Iterator[TuningProgress]:
    assert process.stdout is not None
    for line in process.stdout:
        progress = TuningProgress.read(line)
        if progress is not None:
            yield progress


def run(asked: TuningJob | str) -> tuple[int, list[TuningProgress]]:
    with started(asked) as process:
        said = list(told(process))
    return process.returncode, said


def stopped_at(
    asked: TuningJob, when: Callable[[TuningProgress], bool], by: signal.Signals
) -> tuple[int, list[TuningProgress]]:
    """A job that a signal ends as soon as it says something: its exit status and all that it has said."""
    said: list[TuningProgress] = []
    with started(asked) as process:
        for progress in told(process):
            said.append(progress)
            if when(progress):
                process.send_signal(by)
                when = lambda _: False  # noqa: E731 - once
    return process.returncode, said


@pytest.fixture(scope="module")
def whole(smollm2_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TuningProgress]:
    """A job that nothing has interrupted: its directory and its result."""
    folder = tmp_path_factory.mktemp("whole")
    asked = job(
        folder,
        max_steps=STEPS,
        evaluation={"split": 0.2, "metrics": ["loss", "exact_match"], "gate": {"exact_match": 1.0}},
    )
    status, said = run(asked)
    assert status == 0, said[-1]
    return folder / "job", said[-1]


def test_a_job_ends_with_an_adapter_and_its_report(whole: tuple[Path, TuningProgress]) -> None:
    directory, result = whole
    assert result.phase == "done"
    assert result.metrics["held_out_loss_after"] < result.metrics["held_out_loss_before"]
    assert result.adapter_digest is not None
    version = directory / "adapters" / result.adapter_digest.removeprefix("sha256:")[:12]
    assert result.adapter_directory == str(version)
    assert {path.name for path in version.iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors"),
        *("README.md", "report.json", "report.md", "loss.png"),
    }
    report = json.loads((version / "report.json").read_text())
    assert len(report["training"]["losses"]) == STEPS
    assert report["adapter_digest"] == result.adapter_digest
    assert (version / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "| loss over held-out answers |" in (version / "report.md").read_text()


def test_an_adapter_that_misses_its_gate_is_made_all_the_same(whole: tuple[Path, TuningProgress]) -> None:
    _, result = whole
    assert result.gate_passed is False
    [failure] = result.gate_failures
    assert "word for word" in failure
    assert failure in result.message


def test_a_killed_job_goes_on_from_its_last_checkpoint(whole: tuple[Path, TuningProgress], tmp_path: Path) -> None:
    asked = job(tmp_path, max_steps=STEPS, checkpoint_steps=2)
    _, said = stopped_at(asked, lambda progress: progress.phase == "training" and progress.step >= 5, signal.SIGKILL)
    assert said[-1].step < STEPS
    status, said = run(asked)
    assert status == 0, said[-1]
    messages = [progress.message for progress in said]
    assert "goes on from the checkpoint of step 4" in messages
    assert not any(message.startswith(f"step {step} of") for message in messages for step in range(1, 5))
    _, uninterrupted = whole
    assert said[-1].loss == pytest.approx(uninterrupted.loss, rel=0.02)


def test_a_job_that_is_told_to_end_says_so(smollm2_dir: Path, tmp_path: Path) -> None:
    asked = job(tmp_path, max_steps=500, checkpoint_steps=1)
    status, said = stopped_at(asked, lambda progress: progress.step >= 2, signal.SIGTERM)
    assert status == 143
    assert said[-1].reason == "TuningStopped"
    assert list((tmp_path / "job" / "checkpoints").glob("checkpoint-*")), "there is nothing to go on from"


def test_a_second_process_in_the_same_directory_says_so(tmp_path: Path) -> None:
    asked = job(tmp_path)
    Path(asked.directory).mkdir()
    with FileLock(Path(asked.directory) / ".lock"), pytest.raises(TuningError) as error:
        run_here(asked, lambda _: None)
    assert error.value.reason == "TuningBusy"
    assert asked.directory in error.value.message


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TuningError) as error:
        run_here(job(tmp_path).model_copy(update={"directory": f"{tmp_path}/file/job"}), lambda _: None)
    assert error.value.reason == "DirectoryNotWritable"


@pytest.fixture
def same_signals() -> Iterator[None]:
    """What the program does on SIGTERM ends with the test."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("same_signals")
def test_a_job_without_data_fails_before_a_model_is_loaded(
    smollm2_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "job.json"
    file.write_text(job(tmp_path, data={"dataset": f"file:{tmp_path}/nowhere.csv"}).model_dump_json())
    assert main(["--job", str(file)]) == 1
    said = [progress for line in capsys.readouterr().out.splitlines() if (progress := TuningProgress.read(line))]
    assert said[-1].reason == "DataNotFound"
    assert f"{tmp_path}/nowhere.csv" in said[-1].message
    assert not any(progress.phase == "training" for progress in said)


def test_what_is_no_job_is_refused() -> None:
    assert run("{}") == (2, [])
