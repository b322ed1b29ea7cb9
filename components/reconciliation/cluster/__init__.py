"""Reconciliation on a Kubernetes cluster: everything is reached through the API server, and through nothing else.

`decide.py` and what it decides by (`causes.py`, `provisioning.py`, `nodes.py`, `ray_service.py`, `phases.py`) are pure;
`api.py` is the client, `observe.py`, `act.py` and `mirror.py` use it, `provider.py` is what Pulumi calls. Only
components and the status command import this.
"""
