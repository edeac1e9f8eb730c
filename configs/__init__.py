"""Packaged configuration files, read with importlib.resources."""
