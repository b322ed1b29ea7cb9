"""The version of Modelyard, for a container that has the code but no installed package."""

VERSION = "0.1.0"
"""The same as in pyproject.toml; a test compares them."""
