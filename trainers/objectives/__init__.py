"""What networks are trained for: losses, penalties, augmentation, and what these remember."""
