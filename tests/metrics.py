"""Metrics computed anew, one image and one class after another, and the page's own metric as files."""

import re
from pathlib import Path

import numpy as np

from tests.commands import ROOT

PAGE = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(\S+)`\n\n```(?:python|yaml)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def write_own(folder: Path) -> None:
    """Write the page's own metric below a folder, as the page says."""
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def by_hand(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return what the shipped metrics and the page's own are, straight from their definitions."""
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    answers, classes = probabilities.argmax(axis=1), range(logits.shape[1])
    found, scores, areas = {}, [], []
    for each in classes:
        here, there = answers == each, labels == each
        precision = (here & there).sum() / max(here.sum(), 1)
        recall = (here & there).sum() / there.sum()
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
        found[f"class_accuracy/{each}"] = float(recall)
        inside, outside = probabilities[there, each][:, None], probabilities[~there, each][None, :]
        areas.append(((inside > outside) + 0.5 * (inside == outside)).mean())
    squares = [
        sum((share - (place == label)) ** 2 for place, share in enumerate(row))
        for row, label in zip(probabilities, labels, strict=True)
    ]
    recalls = list(found.values())
    return found | {
        "f1": float(np.mean(scores)),
        "auroc": float(np.mean(areas)),
        "brier": float(np.mean(squares)),
        "class_accuracy": float(np.mean(recalls)),
        "worst_class": min(recalls),
    }
