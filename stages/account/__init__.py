"""What became of every file that came in, over all batches."""
