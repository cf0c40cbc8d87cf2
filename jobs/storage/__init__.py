"""What lies where in the bucket, and when it counts as finished."""
