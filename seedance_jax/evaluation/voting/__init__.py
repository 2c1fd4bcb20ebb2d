"""Comparison of clips by people: a page of blind ballots, and what the file of votes says."""
