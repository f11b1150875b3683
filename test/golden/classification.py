"""Writes classification.json: 200 classifications, each with what scikit-learn 1.9 says of it.

    python test/golden/classification.py

Texts are stored once and named by index. An answer of null names no label: scikit-learn gets a label that is not in `labels` for it.
`labels: null` is every label of rows and answers, sorted. What scikit-learn refuses, as no rows, is stored as null. Expected
calibration error is no function of scikit-learn: `ece` follows equation 3 of Guo et al. 2017 (https://arxiv.org/abs/1706.04599) here.
"""

import json
import math
import os
import random
import warnings

import numpy as np
from sklearn import __version__
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    confusion_matrix,
    log_loss,
    matthews_corrcoef,
    precision_recall_fscore_support,
    recall_score,
)

warnings.simplefilter("ignore")
HERE = os.path.dirname(os.path.abspath(__file__))
NONE = "\x00no label"
WORDS = ["ham", "spam", "a", "b", "B", "", " ", "ä", "a\u0308", "日本", "😀", "\uffee", "it's \"so\"", "0", "10", "2", "положительный", "סביר"]


def finite(value):
    value = float(value)
    return None if math.isnan(value) else value


def scores(true, pred, labels, zero, average):
    values = precision_recall_fscore_support(true, pred, labels=labels, average=average, zero_division=zero)
    if average is None:
        return [[finite(p), finite(r), finite(f), int(s)] for p, r, f, s in zip(*values)]
    return [finite(value) for value in values[:3]]


def calibration_error(true, probabilities, labels, bins):
    total = 0.0
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        rows = [
            (max(row), labels[row.index(max(row))] == label)
            for row, label in zip(probabilities, true)
            if low < max(row) <= high
        ]
        if rows:
            confidence = np.mean([c for c, _ in rows])
            accuracy = np.mean([r for _, r in rows])
            total += len(rows) / len(true) * abs(accuracy - confidence)
    return total


def expected(true, answers, labels, zero, probabilities, bins):
    if not true:
        return None
    pred = [NONE if answer is None else answer for answer in answers]
    known = sorted(set(true) | {a for a in answers if a is not None}) if labels is None else labels
    is_whole = set(true) <= set(known)
    overlap = is_whole or bool(set(true) & set(known))
    result = {
        "accuracy": accuracy_score(true, pred),
        "balanced_accuracy": finite(
            balanced_accuracy_score(true, pred)
            if is_whole
            else recall_score(true, pred, labels=known, average="macro", zero_division=np.nan)
        ),
        "matthews_corrcoef": finite(matthews_corrcoef(true, pred)) if is_whole and set(pred) <= set(known) | {NONE} else None,
        "classes": scores(true, pred, known, zero, None),
        **{average: scores(true, pred, known, zero, average) for average in ("micro", "macro", "weighted")},
        "confusion": confusion_matrix(true, pred, labels=known).tolist() if overlap else None,
    }
    if probabilities is not None:
        # scikit-learn wants columns in the order of sorted labels.
        order = sorted(range(len(known)), key=lambda i: known[i])
        columns = np.array(probabilities)[:, order]
        ordered = [known[i] for i in order]
        result["log_loss"] = log_loss(true, columns, labels=ordered)
        if len(known) > 2:
            result["brier_score"] = brier_score_loss(true, columns, labels=ordered)
        else:
            result["brier_score"] = brier_score_loss(true, columns[:, 1], pos_label=ordered[1])
        result["ece"] = calibration_error(true, probabilities, known, bins)
    return result


def distribution(size):
    kind = random.random()
    if kind < 0.15:
        row = [0.0] * size
        row[random.randrange(size)] = 1.0
        return row
    if kind < 0.3:
        return [1 / size] * size  # equal: the first label is the answer
    if kind < 0.5:
        # Bounds of bins.
        top = random.randrange(math.ceil(100 / size), 101) / 100
        row = [(1 - top) / (size - 1)] * size if size > 1 else [1.0]
        row[random.randrange(size)] = top
        return row
    raw = [random.expovariate(1) ** 2 + 1e-9 for _ in range(size)]
    return [round(value / sum(raw), 9) for value in raw]


def case(number):
    size = [1, 2, 2, 3, 4, 6, 9][number % 7]
    words = random.sample(WORDS, size)
    rows = 0 if number in (7, 60) else [1, 2, 3, 5, 11, 23, 31][(number // 7) % 7]
    skew = random.choice([0.0, 0.5, 1.0])
    accuracy = random.choice([0.0, 0.4, 0.8, 1.0])
    true, answers = [], []
    for _ in range(rows):
        label = words[0] if random.random() < skew else random.choice(words)
        true.append(label)
        answers.append(label if random.random() < accuracy else random.choice(words + ([None] if number % 3 == 0 else [])))
    # Labels: all that occur; all words; more than occur, in any order; only some of them.
    kind = ["occurring", "words", "more", "some"][(number // 3) % 4]
    labels = None
    if kind == "words":
        labels = words
    elif kind == "more":
        labels = random.sample(words + [word for word in WORDS if word not in words][:3], size + 3)
    elif kind == "some":
        labels = random.sample(words, max(1, size - 1))
    zero = [0, 1, float("nan")][number % 3]
    probabilities, bins = None, random.choice([5, 10, 15])
    if labels is not None and len(labels) > 1 and rows and set(true) <= set(labels):
        probabilities = [distribution(len(labels)) for _ in true]
    name = lambda word: None if word is None else WORDS.index(word)
    return {
        "label": [name(word) for word in true],
        "predicted": [name(word) for word in answers],
        "labels": None if labels is None else [name(word) for word in labels],
        "zeroDivision": "nan" if zero != zero else zero,
        **({} if probabilities is None else {"probabilities": probabilities, "bins": bins}),
        "expected": expected(true, answers, labels, zero, probabilities, bins),
    }


random.seed(19)
cases = [case(number) for number in range(200)]
with open(os.path.join(HERE, "classification.json"), "w", encoding="utf-8") as file:
    file.write(f'{{"by": "scikit-learn {__version__}", "words": {json.dumps(WORDS)}, "cases": [\n')
    file.write(",\n".join(json.dumps(entry, separators=(",", ":")) for entry in cases))
    file.write("\n]}\n")
