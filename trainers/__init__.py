"""Everything that touches a tensor; plain PyTorch."""
