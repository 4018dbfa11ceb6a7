"""Files that share one service: a folder below the acceptance tests is run by one process."""
