"""What is preferred: pairs of clips and votes on them, and the comparisons to train rewards on."""
