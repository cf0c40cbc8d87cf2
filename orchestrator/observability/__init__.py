"""What the server tells of itself: its log, its series, and what must not be told."""
