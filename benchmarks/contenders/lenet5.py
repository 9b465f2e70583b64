"""LeNet-5 as one writes it by hand in PyTorch; normalization belongs to the data."""

import numpy as np
import torch
from torch import nn


def lenet5(weights: list[np.ndarray]) -> nn.Sequential:
    """Return the network with the given initial weights."""
    net = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
    )
    with torch.no_grad():
        for parameter, weight in zip(net.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(weight).reshape(parameter.shape))
    return net
