"""What models and GPUs need: facts in YAML, arithmetic in Python, and the schema shared by components and serving.

Everything may import this package; it imports nothing else of Modelyard, no pulumi, no torch and no ray.
"""
