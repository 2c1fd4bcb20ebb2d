"""The page on which people keep, drop and relabel clips."""
