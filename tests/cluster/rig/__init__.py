"""A Kubernetes cluster on this machine, without a container engine: what is real, and what is played.

Real: etcd, the API server, the controller manager, the scheduler, kube-proxy, KubeRay's operator and Karpenter (with
its kwok provider). Nodes are objects that KWOK keeps Ready. A pod with the label `modelyard.dev/workspace` runs as
processes of this machine, started by the kubelet of this package; KWOK plays every other pod. All of it lies in one
network namespace of its own; the API server alone is also reached from outside, at https://localhost:PORT.

From a shell: `python -m tests.cluster.rig up --state DIR`. From Python: `tests.cluster.rig.rig.Rig`.
"""
