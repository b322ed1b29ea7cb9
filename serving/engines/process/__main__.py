"""`python -m serving.engines.process OPTIONS SOCKET PARENT`: the engine process, started by `EngineProcess` only."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import socket
import sys

from serving.engines.process.inbox import Inbox
from serving.engines.process.lifeline import end_with
from serving.engines.process.messages import LaunchOptions


def main() -> None:
    """Serve one model over the socket whose descriptor is the second argument, until its other end closes or the
    process whose id is the third ends."""
    options = LaunchOptions.model_validate_json(sys.argv[1])
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s %(levelname)s engine[{options.name}] %(name)s: %(message)s",
    )
    end_with(int(sys.argv[3]))
    # C code that crashes or hangs is named in the log: a replica that has lost patience asks where before it kills
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Ctrl-C in a terminal reaches the whole group; the replica decides when its engine ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    connection = socket.socket(fileno=int(sys.argv[2]))
    inbox = Inbox(connection)

    from serving.engines.process.worker import serve  # torch takes seconds; the inbox hears of a parent's end meanwhile

    serve(connection, inbox, options)


if __name__ == "__main__":
    main()
