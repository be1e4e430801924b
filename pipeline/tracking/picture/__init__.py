"""The chain as a graph that can be clicked: one HTML file that needs nothing else."""
