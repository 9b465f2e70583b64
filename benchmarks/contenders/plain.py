"""The loop of a tutorial: a torchvision data set, a DataLoader, eager PyTorch."""

import time

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

from benchmarks.contenders.lenet5 import lenet5
from benchmarks.gate import serve
from benchmarks.problem import BATCH, LEARNING_RATE, PROBE, options, read, weights


def main() -> None:
    given = options()
    torch.set_num_threads(given.threads)
    arrays = read(given)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(arrays["mean"], arrays["std"])])
    everything = datasets.FashionMNIST(given.root, transform=transform)
    loader = DataLoader(Subset(everything, range(given.train_size)), BATCH, shuffle=True)
    held_out = DataLoader(Subset(everything, range(55_000, 60_000)), 1_000)
    probe, probe_labels = (torch.from_numpy(arrays[f"train_{what}"][:PROBE]) for what in ("images", "labels"))
    net = lenet5(weights(arrays))
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE)

    def epoch(number: int) -> dict[str, float]:
        started, cpu = time.perf_counter(), time.process_time()
        for images, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
        trained, cpu = time.perf_counter() - started, time.process_time() - cpu
        with torch.inference_mode():
            for images, labels in held_out:
                F.cross_entropy(net(images), labels)
        whole = time.perf_counter() - started
        with torch.inference_mode():
            loss = F.cross_entropy(net(probe), probe_labels).item()
        return {"train": trained, "cpu": cpu, "epoch": whole, "loss": loss}

    serve(epoch)


if __name__ == "__main__":
    main()
