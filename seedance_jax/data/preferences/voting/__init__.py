"""Comparison of clips by people: a page of blind ballots."""
