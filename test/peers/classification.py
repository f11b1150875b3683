"""Scores classifications with scikit-learn, and tests differences with SciPy.

Reads {"classifications": [...], "pairs": [...], "samples": [...]} from stdin and writes the same keys with what the libraries say.
"""

import json
import math
import sys
import warnings

import numpy as np
from scipy import stats
from sklearn import metrics

warnings.simplefilter("ignore")
NONE = "\x00no label"


def finite(value):
    value = float(value)
    return None if math.isnan(value) else value


def classification(case):
    true = case["label"]
    pred = [NONE if label is None else label for label in case["predicted"]]
    labels = case["labels"]
    zero = math.nan if case["zeroDivision"] == "nan" else case["zeroDivision"]

    def averaged(average):
        return metrics.precision_recall_fscore_support(true, pred, labels=labels, average=average, zero_division=zero)

    result = {
        "accuracy": metrics.accuracy_score(true, pred),
        "balanced_accuracy": metrics.balanced_accuracy_score(true, pred),
        "matthews_corrcoef": metrics.matthews_corrcoef(true, pred),
        "confusion": metrics.confusion_matrix(true, pred, labels=[*labels, NONE]).tolist()[:-1],
    }
    for average in ("micro", "macro", "weighted"):
        for name, value in zip(("precision", "recall", "f1"), averaged(average)):
            result[f"{name}_{average}"] = finite(value)
    for name, values in zip(("precision", "recall", "f1"), averaged(None)):
        for label, value in zip(labels, values):
            result[f"{name}/{label}"] = finite(value)
    if len(labels) > 1:
        order = sorted(range(len(labels)), key=lambda i: labels[i])
        columns = np.array(case["probabilities"])[:, order]
        ordered = [labels[i] for i in order]
        result["log_loss"] = metrics.log_loss(true, columns, labels=ordered)
        if len(labels) > 2:
            result["brier_score"] = metrics.brier_score_loss(true, columns, labels=ordered)
        else:
            result["brier_score"] = metrics.brier_score_loss(true, columns[:, 1], pos_label=ordered[1])
    return result


def pair(case):
    difference = np.array(case["scores"]) - np.array(case["base"])
    found = stats.permutation_test(
        (difference,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    # SciPy doubles the smaller side; ours counts both sides, which is the same where signs are flipped.
    return float(found.pvalue)


def sample(case):
    found = stats.bootstrap(
        (np.array(case["scores"]),),
        np.mean,
        method="BCa",
        n_resamples=20000,
        confidence_level=case["confidence"],
        rng=np.random.default_rng(1),
    )
    return [float(found.confidence_interval.low), float(found.confidence_interval.high)]


given = json.load(sys.stdin)
json.dump(
    {
        "classifications": [classification(case) for case in given["classifications"]],
        "pairs": [pair(case) for case in given["pairs"]],
        "samples": [sample(case) for case in given["samples"]],
    },
    sys.stdout,
)
