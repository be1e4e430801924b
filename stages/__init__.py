"""What is computed: one room per DVC stage, files in, files out."""

import os

# Read once, when an OpenMP runtime loads: spinning threads collapse on a busy machine (40 x slower, measured).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
