"""Images that never were, with labels drawn by chances that a model may know or not."""

import numpy as np
from scipy.special import expit, softmax

from stages.artifacts.cohort import Task
from stages.judging.metrics import Judged

CLASSES = {
    Task.BINARY: ("normal", "sick"),
    Task.MULTICLASS: ("normal", "pneumonia", "effusion"),
    Task.MULTILABEL: ("pneumonia", "effusion"),
}


def made(task: Task, count: int, *, seed: int = 0, overconfidence: float = 1.0, each: int = 1):
    """Images, their (N, K) logits and their patients' names; ``each`` patient has so many, which are much alike.

    The true temperature is ``overconfidence``. A fifth of a multi-label task's labels is unknown.
    """
    random = np.random.default_rng(seed)
    classes = CLASSES[task]
    patient = np.arange(count) // each
    shared = random.normal(0, 1, (patient.max() + 1, len(classes)))[patient]
    logits = 1.2 * shared + random.normal(0, 0.8, (count, len(classes)))
    if task is Task.MULTILABEL:
        labels = (random.random(logits.shape) < expit(logits)).astype(float)
        labels[random.random(labels.shape) < 0.2] = np.nan
        scores = expit(logits * overconfidence)
    else:
        drawn = (random.random((count, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
        labels = np.eye(len(classes))[np.minimum(drawn, len(classes) - 1)]
        scores = softmax(logits * overconfidence, axis=1)
    names = [f"p{n}" for n in patient]
    return Judged(task, classes, labels, scores), logits * overconfidence, names
