"""Layers that families share. Whatever couples samples of a batch does so within groups."""
