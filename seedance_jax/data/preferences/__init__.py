"""What people prefer: pairs of clips, the file of votes on them, and the axes of a vote."""
