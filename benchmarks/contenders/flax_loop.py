"""A jitted JAX loop over a Flax LeNet-5: ready arrays, one compiled step a batch."""

import os
import time
from typing import Any

from benchmarks.gate import serve
from benchmarks.problem import BATCH, LEARNING_RATE, PROBE, options, read, weights


def main() -> None:
    given = options()
    # XLA makes as many threads as the process may use cores.
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: given.threads]))

    import flax.linen as nn
    import jax
    import jax.numpy as jnp
    import optax

    class LeNet5(nn.Module):
        @nn.compact
        def __call__(self, images: Any) -> Any:
            maps = nn.avg_pool(nn.tanh(nn.Conv(6, (5, 5), padding=2)(images)), (2, 2), (2, 2))
            maps = nn.avg_pool(nn.tanh(nn.Conv(16, (5, 5), padding="VALID")(maps)), (2, 2), (2, 2))
            dense = maps.transpose(0, 3, 1, 2).reshape(len(images), -1)
            for width in (120, 84):
                dense = nn.tanh(nn.Dense(width)(dense))
            return nn.Dense(10)(dense)

    arrays = read(given)
    images = jnp.asarray(arrays["train_images"].transpose(0, 2, 3, 1))
    labels = jnp.asarray(arrays["train_labels"])
    held_out = jnp.asarray(arrays["val_images"].transpose(0, 2, 3, 1))
    net = LeNet5()
    layers: dict[str, Any] = {}
    names = ["Conv_0", "Conv_1", "Dense_0", "Dense_1", "Dense_2"]
    given_weights = weights(arrays)
    for name, kernel, bias in zip(names, given_weights[::2], given_weights[1::2], strict=True):
        axes = kernel.transpose(2, 3, 1, 0) if name.startswith("Conv") else kernel.reshape(len(kernel), -1).T
        layers[name] = {"kernel": jnp.asarray(axes), "bias": jnp.asarray(bias)}
    parameters: Any = {"params": layers}
    optimizer = optax.adam(LEARNING_RATE)
    state = optimizer.init(parameters)

    def loss_of(parameters: Any, images: Any, labels: Any) -> Any:
        logits = net.apply(parameters, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def step(parameters: Any, state: Any, images: Any, labels: Any, index: Any) -> Any:
        gradients = jax.grad(loss_of)(parameters, images[index], labels[index])
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(parameters, updates), state

    step = jax.jit(step, donate_argnums=(0, 1))
    probe_loss, logits_of = jax.jit(loss_of), jax.jit(net.apply)

    def epoch(number: int) -> dict[str, float]:
        nonlocal parameters, state
        order = arrays["orders"][number]
        started, cpu = time.perf_counter(), time.process_time()
        for first in range(0, len(order), BATCH):
            parameters, state = step(parameters, state, images, labels, order[first : first + BATCH])
        jax.block_until_ready(parameters)
        trained, cpu = time.perf_counter() - started, time.process_time() - cpu
        loss = float(probe_loss(parameters, images[:PROBE], labels[:PROBE]))
        logits_of(parameters, held_out).block_until_ready()
        return {"train": trained, "cpu": cpu, "epoch": time.perf_counter() - started, "loss": loss}

    serve(epoch)


if __name__ == "__main__":
    main()
