"""Draws that depend on what they are for, never on how many workers there are."""
