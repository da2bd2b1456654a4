"""One thread of torch, as a training has: two test processes with two each wait for one another."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
