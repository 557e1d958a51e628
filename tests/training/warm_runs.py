"""Imported by the server that forks the runs of test_kill_and_resume: one run before, so that each fork starts warm.

torch imports a thousand modules when an optimiser is first made. One thread: a fork does not take others along.
"""

import torch
from training.tiny_runs import tiny_train

torch.set_num_threads(1)
tiny_train()
