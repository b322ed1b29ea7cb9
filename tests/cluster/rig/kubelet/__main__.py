"""The kubelet's command line; `tests.cluster.rig` starts it."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from pathlib import Path

from tests.cluster.rig import network, processes
from tests.cluster.rig.api import Api
from tests.cluster.rig.kubelet import log_server
from tests.cluster.rig.kubelet.settings import Settings
from tests.cluster.rig.kubelet.sync import Kubelet


def main() -> None:
    """Run until ended by a signal."""
    options = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings(
        netns=options.netns,
        state=options.state,
        venv=options.venv,
        hidden=tuple(options.hide),
        max_grace=options.max_grace,
        back_off=options.back_off,
        pull_seconds=options.pull_seconds,
    )
    processes.end_marked(options.netns, processes.POD_MARK)  # what a killed kubelet has left
    network.remove_pods(options.netns)
    network.enter(options.netns)  # only the network: namespaces that are made later must be seen by the whole machine
    kubelet = Kubelet(Api.of(options.kubeconfig), settings)
    log_server.serve(kubelet.find, options.certificate, options.key)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    kubelet.loop(stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.rig.kubelet", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--netns", required=True)
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--hide", type=Path, action="append", default=[])
    parser.add_argument("--certificate", type=Path, required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--max-grace", type=float, required=True)
    parser.add_argument("--back-off", type=float, required=True)
    parser.add_argument("--pull-seconds", type=float, required=True)
    return parser


if __name__ == "__main__":
    main()
