"""What runs on the cluster for one attempt, without Ray: ranks, shard writers, and their talk with the orchestrator."""
