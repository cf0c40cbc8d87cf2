"""From a document to rows: is it runnable, its rows and events, and the jobs of a schedule's ticks."""
