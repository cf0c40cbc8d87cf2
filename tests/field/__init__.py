"""Machines and shells as people have them: `ganworks run` of a tiny job in each, one by one (`python -m tests.field`)."""
