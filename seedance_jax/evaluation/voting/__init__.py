"""Comparison of clips by people: pairs, blind ballots, a file of votes, and what they say."""
