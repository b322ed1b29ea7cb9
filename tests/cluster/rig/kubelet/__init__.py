"""A kubelet that runs pods as processes of this machine.

It takes the scheduled pods that carry the label `modelyard.dev/workspace`, whatever node they are on, and does for
them what a kubelet does: volumes, images (their names only), init containers, users and read-only roots, probes,
restarts and their back-off, hooks, events, logs. A container sees this machine's programs and libraries, the Python
environment that the rig was given, and what its pod mounts; homes, /tmp, /run and the checkout are hidden from it.

Not played: limits of CPU and memory, host ports and host network, shared process namespaces, `exec` and `attach`,
gRPC probes, postStart hooks, timestamps of logs. GPUs are numbers only.
"""
