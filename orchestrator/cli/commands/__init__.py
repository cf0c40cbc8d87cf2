"""What can be typed: one file a noun, each with `register(app)`."""
