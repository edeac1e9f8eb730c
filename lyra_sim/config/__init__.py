"""Pydantic models of every stage and backend, and their YAML. Light: imports nothing heavy."""
