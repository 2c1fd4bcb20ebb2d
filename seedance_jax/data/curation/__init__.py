"""Scores of clips, stored beside them, and filters that choose by these: nothing is copied."""
