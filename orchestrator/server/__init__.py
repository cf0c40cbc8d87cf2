"""The server's parts put together: who asks, who leads, what a route reaches."""
