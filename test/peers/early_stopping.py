"""Decisions of transformers' Trainer and EarlyStoppingCallback about sequences of metrics.

Reads cases as JSON from standard input and writes for each the decisions after each evaluation. What decides is the
library's own code: Trainer._determine_best_metric and EarlyStoppingCallback.on_evaluate, in the order in which
Trainer.evaluate and _maybe_log_save_evaluate call them.
"""

import json
import math
import sys
from types import SimpleNamespace

from transformers import EarlyStoppingCallback, Trainer, TrainerControl, TrainerState
from transformers.trainer_utils import SaveStrategy


def decide(case):
    args = SimpleNamespace(
        metric_for_best_model=case["metric"],
        greater_is_better=case["greaterIsBetter"],
        save_strategy=SaveStrategy.STEPS,
    )
    state, control = TrainerState(), TrainerControl()
    callback = EarlyStoppingCallback(case["patience"], case["threshold"])
    fake = SimpleNamespace(args=args, state=state)
    decisions = []
    for index, value in enumerate(case["values"]):
        state.global_step = index + 1
        metrics = {"eval_loss": math.nan if value is None else value}
        callback.on_evaluate(args, state, control, metrics=metrics)
        is_best = Trainer._determine_best_metric(fake, metrics=metrics, trial=None)
        decisions.append(
            {
                "isBest": bool(is_best),
                "step": state.best_global_step,
                "value": state.best_metric if math.isfinite(state.best_metric) else None,
                "counter": callback.early_stopping_patience_counter,
                "stops": control.should_training_stop,
            }
        )
    return {"decisions": decisions, "state": callback.state()}


json.dump([decide(case) for case in json.load(sys.stdin)], sys.stdout)
