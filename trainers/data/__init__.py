"""Packed data sets, the packer that makes them, and the order in which training reads them."""
