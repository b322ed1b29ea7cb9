"""An engine in a process of its own: the event loop that serves HTTP waits for no step, and a crash costs a restart.

`python -m serving.engines.process` is the child (`worker.py`); `engine_process.py` is the `Engine` that starts it,
speaks to it over a socket pair, and starts it again when it dies. Only the child imports torch.
"""
