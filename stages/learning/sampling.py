"""Which images a step sees, and in which order: a function of the seed and the epoch alone."""

import numpy as np
import numpy.typing as npt


def batches(
    examples: int,
    batch_size: int,
    seed: int,
    epoch: int,
    chances: npt.NDArray[np.float64] | None = None,
    least: int = 2,
) -> list[npt.NDArray[np.int64]]:
    """Every example once, shuffled; or as many as there are, drawn with replacement by ``chances`` (N, sum 1).

    A last batch of fewer than ``least`` joins the one before it: batch normalisation has no variance of one example.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(examples) if chances is None else random.choice(examples, size=examples, p=chances)
    cuts = list(range(batch_size, examples, batch_size))
    if cuts and examples - cuts[-1] < least:
        cuts.pop()
    return np.split(order, cuts)


def balanced(labels: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(N,) chances by which each class is drawn as often as any other, from (N, K) labels.

    An image of several classes has the chance of the rarest of them; one of none, that of the images of none.
    """
    positive = np.column_stack([labels == 1, ~(labels == 1).any(axis=1)])
    weights = np.where(positive, 1 / np.maximum(positive.sum(axis=0), 1), 0).max(axis=1)
    chances: npt.NDArray[np.float64] = weights / weights.sum()
    return chances


def endless(examples: int, sizes: list[int], seed: int, epoch: int) -> list[npt.NDArray[np.int64]]:
    """Batches of these sizes, shuffled, beginning again when all were seen: another domain's images beside ours."""
    random = np.random.default_rng([seed, epoch, 1])
    needed = sum(sizes)
    rounds = [random.permutation(examples) for _ in range(-(-needed // examples))]
    return np.split(np.concatenate(rounds)[:needed], np.cumsum(sizes)[:-1])
