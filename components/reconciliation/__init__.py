"""The dynamic provider: a thin pulumi.dynamic shell over a pure core (desired + observed -> actions + conditions).

`state.py` and `decide.py` are pure and know no client; `ray_dashboard.py`, `local_ray.py` and `weights.py` are the
clients that act; `provider.py` is what Pulumi calls. Only components and the status command import this package.
"""
