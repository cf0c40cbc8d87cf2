"""Is the training still one? Numbers, pictures and findings."""
