"""Public metrics of video: distances of distributions, VBench, plausibility of physics.

A clip is uint8 [T, H, W, 3], a set of clips uint8 [B, T, H, W, 3].
"""
