"""What holds for all tests, set before torch is loaded."""

import os

# Sums run in the same order in every process: "the same bytes" can be asked of floats, and tiny models are faster.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

pytest_plugins = ["browser"]
