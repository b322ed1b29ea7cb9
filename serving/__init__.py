"""What runs on the GPU nodes: the Ray Serve application, its HTTP API, the engines and the weights.

Imports presets at most: the container that runs this has no Pulumi and no components.
"""
