"""Metrics that others use too: distances of distributions, VBench, likelihood of physics.

Clips are uint8 [T, H, W, 3], sets of clips uint8 [N, T, H, W, 3].
"""
