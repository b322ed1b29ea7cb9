"""The Ray Serve application; components.planning.render names `build` as its import path."""

# No postponed annotations here: Ray Serve looks at the parameter's type to validate the config's args with it.

from ray import serve
from ray.serve import Application

from presets.serve_config import DEPLOYMENT, ServeArgs
from serving.replica import ModelServer


def build(args: ServeArgs) -> Application:
    """One deployment that owns HTTP and the engine: tokens through a second one cost ten times the time.

    Replicas, limits and resources come from the deployment's entry in the Serve config.
    """
    return serve.deployment(name=DEPLOYMENT)(serve.ingress()(ModelServer)).bind(args)
