"""What a job is, and what it does when it runs on the cluster."""
