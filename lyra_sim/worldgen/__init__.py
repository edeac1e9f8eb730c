"""Generators of unseen frames behind one interface."""
