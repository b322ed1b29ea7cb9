"""python -m tuning [--job FILE]

Runs one job (presets.tuning_job.TuningJob as JSON), which stands in FILE or in the environment variable
MODELYARD_TUNING_JOB, and tells where it is by lines of TuningProgress on standard output. Exit status: 0 there is an
adapter, whether or not it has passed its gate; 1 there is none, and the last line has the reason; 2 the job is none;
143 ended by SIGTERM.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pydantic import ValidationError

from presets.tuning_job import JOB_VARIABLE, Phase, TuningJob, TuningProgress
from serving.errors import StartupFailure
from tuning.errors import TuningError
from tuning.progress import to_output

_STOPPED = 128 + signal.SIGTERM


class _Teller:
    """Remembers the phase, so that a failure can be told with it."""

    def __init__(self) -> None:
        self._last = TuningProgress(phase="data", message="the job starts")

    def say(self, progress: TuningProgress) -> None:
        self._last = progress
        to_output(progress)

    def fail(self, reason: str, message: str) -> None:
        phase: Phase = self._last.phase
        self.say(TuningProgress(phase=phase, reason=reason, message=message, step=self._last.step))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tuning", description="Make one adapter.")
    parser.add_argument("--job", type=Path, help=f"a file with the job; default: ${JOB_VARIABLE}")
    file: Path | None = parser.parse_args(arguments).job
    try:
        job = TuningJob.model_validate_json(file.read_bytes() if file else os.environ.get(JOB_VARIABLE, ""))
    except (OSError, ValidationError) as error:
        sys.stderr.write(f"{file or JOB_VARIABLE} has no job: {error}\n")
        return 2
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    signal.signal(signal.SIGTERM, _terminate)
    teller = _Teller()
    teller.say(TuningProgress(phase="data", message="loading torch, transformers and trl"))
    try:
        from tuning.run import run  # seconds of imports, which would be silent

        run(job, teller.say)
    except (TuningError, StartupFailure) as error:
        teller.fail(error.reason, error.message)
        return 1
    except (KeyboardInterrupt, SystemExit):
        teller.fail("TuningStopped", "the job was told to end; pulumi up goes on from the last checkpoint")
        return _STOPPED
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told in one line
        traceback.print_exc()
        teller.fail("TuningFailed", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")
        return 1
    return 0


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(_STOPPED)


if __name__ == "__main__":
    sys.exit(main())
