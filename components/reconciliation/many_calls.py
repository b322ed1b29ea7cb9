"""Lets the process of the dynamic providers answer more than four calls at once.

Pulumi's Python provider process has four threads (pulumi/dynamic/__main__.py), and no setting for their number. A wait
for GPU nodes takes one for minutes, and a fifth workspace's check and diff would wait behind four of them.
"""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import cast

CALLS = 64
"""At once; each is a thread that mostly sleeps."""
_lock = threading.Lock()


def widen(calls: int = CALLS) -> int:
    """Let every thread pool of this process have `calls` threads; the number of pools that were narrower.

    A pool makes its threads when work comes and none is idle, up to its limit, so that a raised limit counts at once.
    The limit is private to the class, and has had this name since Python 3.2.
    """
    with _lock:
        # By its type: isinstance() asks for __class__, which a weak proxy of what is gone answers with ReferenceError.
        found = (each for each in gc.get_objects() if issubclass(type(each), ThreadPoolExecutor))
        pools = [cast("ThreadPoolExecutor", each) for each in found]
        narrow = [pool for pool in pools if pool._max_workers < calls]
        for pool in narrow:
            pool._max_workers = calls
        return len(narrow)
