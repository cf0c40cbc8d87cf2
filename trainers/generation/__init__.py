"""Samples by index: sample i depends on the seed and i alone."""
