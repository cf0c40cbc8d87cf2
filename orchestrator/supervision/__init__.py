"""The loops over Ray and over the bucket, and what they know from step to step."""
