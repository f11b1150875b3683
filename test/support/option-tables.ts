/** @file The tables of options that docs/options.md shows, by name. */

import { CREATE_ADAPTER_OPTIONS, LOAD_ADAPTER_OPTIONS } from '../../src/adapters/lora-adapter.js'
import { MERGE_OPTIONS } from '../../src/adapters/merge-options.js'
import { FORWARD_BATCH } from '../../src/architecture/batch.js'
import { FORWARD_OPTIONS } from '../../src/causal-lm/causal-lm.js'
import { CREATE_MODEL_OPTIONS } from '../../src/causal-lm/create-model.js'
import { LOAD_MODEL_OPTIONS } from '../../src/checkpoint/load-model.js'
import { SAVE_MODEL_OPTIONS } from '../../src/checkpoint/save-model.js'
import { CHECK_OPTIONS } from '../../src/data/check/check-dataset.js'
import { PREPARE_OPTIONS } from '../../src/data/dataset.js'
import { WRITE_DELTA_OPTIONS } from '../../src/data/delta/write-delta.js'
import { INSPECT_OPTIONS } from '../../src/data/inspect.js'
import { DATASET_ENTRY, DATASET_MIX } from '../../src/data/sources/dataset-entry.js'
import { SPLIT_OPTIONS } from '../../src/data/split.js'
import { WRITE_OPTIONS } from '../../src/data/writers/write-options.js'
import { CLEAN_OPTIONS } from '../../src/databricks/clean.js'
import { DATABRICKS_OPTIONS } from '../../src/databricks/client/connect-options.js'
import {
  DIRECTORY_OPTIONS,
  DOWNLOAD_FILE_OPTIONS,
  FILE_OPTIONS,
  SYNC_DIRECTORY_OPTIONS,
  UPLOAD_FILE_OPTIONS,
} from '../../src/databricks/client/files/options.js'
import { PULL_OPTIONS } from '../../src/databricks/client/models/pull-options.js'
import { READ_TABLE_OPTIONS } from '../../src/databricks/client/read-table.js'
import { STATEMENT_OPTIONS } from '../../src/databricks/client/statement-options.js'
import { CATALOG_OPTIONS, CREATE_OPTIONS } from '../../src/databricks/client/unity-catalog.js'
import { CLUSTER_OPTIONS } from '../../src/databricks/cluster-spec.js'
import { START_OPTIONS, WAIT_OPTIONS } from '../../src/databricks/options.js'
import { PUSH_DATASET_OPTIONS } from '../../src/databricks/push/options.js'
import { PUSH_ADAPTER_OPTIONS, PUSH_MODEL_OPTIONS } from '../../src/databricks/registry/push-options.js'
import { SERVED_ENTITY_OPTIONS } from '../../src/databricks/served-entity.js'
import { TRAINING_OPTIONS, TRAINING_WAIT_OPTIONS } from '../../src/databricks/training/options.js'
import { GENERATE_OPTIONS } from '../../src/decoding/sampling-options.js'
import { BEHAVIOUR_OPTIONS } from '../../src/evaluate/behaviour/options.js'
import { EVALUATE_MODELS_OPTIONS } from '../../src/evaluate/evaluate.js'
import { JUDGE_OPTIONS } from '../../src/evaluate/judge-options.js'
import { RUN_TASKS_OPTIONS } from '../../src/evaluate/run-options.js'
import {
  CLASSIFICATION_TASK,
  GENERATION_TASK,
  MULTIPLE_CHOICE_TASK,
  PERPLEXITY_TASK,
} from '../../src/evaluate/task-options.js'
import { UPDATE_CARD_OPTIONS } from '../../src/evaluate/update-card.js'
import { CHECK_LOADERS_OPTIONS } from '../../src/export/check-loaders.js'
import { CONVERT_OPTIONS } from '../../src/export/convert-adapter.js'
import { EXPORT_OPTIONS } from '../../src/export/options.js'
import { TEXT_GENERATION_OPTIONS } from '../../src/generation/generate-text.js'
import { TEXTS_GENERATION_OPTIONS } from '../../src/generation/generate-texts.js'
import { PLAN_GENERATION_OPTIONS } from '../../src/generation/plan-options.js'
import { SCORE_CONTINUATIONS_OPTIONS } from '../../src/generation/score-continuations.js'
import { HOSTED_HYPERPARAMETERS, TRAIN_HOSTED_OPTIONS } from '../../src/hosted/options.js'
import {
  CHAT_HOSTED_OPTIONS,
  DELETE_HOSTED_OPTIONS,
  DEPLOY_HOSTED_OPTIONS,
  HOSTED_RUN_OPTIONS,
  PREDICT_HOSTED_OPTIONS,
} from '../../src/hosted/run-options.js'
import { PUSH_TO_HUB_OPTIONS } from '../../src/hub/push/options.js'
import { INFERENCE_OPTIONS } from '../../src/inference/engine-options.js'
import { TRAIN_OPTIONS } from '../../src/integrations/options.js'
import { PLAN_OPTIONS } from '../../src/integrations/plan-training.js'
import { REGISTER_OPTIONS } from '../../src/integrations/register-as.js'
import { PULL_KAGGLE_OPTIONS } from '../../src/kaggle/options.js'
import { BLEU_OPTIONS } from '../../src/metrics/bleu.js'
import { BOOTSTRAP_OPTIONS } from '../../src/metrics/bootstrap.js'
import { CHRF_OPTIONS } from '../../src/metrics/chrf.js'
import { CLASSIFICATION_OPTIONS } from '../../src/metrics/classification.js'
import { CLASSIFICATION_REPORT_OPTIONS } from '../../src/metrics/classification-report.js'
import { EXACT_MATCH_OPTIONS } from '../../src/metrics/exact-match.js'
import { JSON_VALIDITY_OPTIONS } from '../../src/metrics/json-validity.js'
import { ROUGE_OPTIONS } from '../../src/metrics/rouge.js'
import { TOKEN_F1_OPTIONS } from '../../src/metrics/token-f1.js'
import { PACK_OPTIONS } from '../../src/mlflow/model/pack-options.js'
import { CONNECT_MLFLOW_OPTIONS } from '../../src/mlflow/open.js'
import { MLFLOW_OPTIONS } from '../../src/mlflow/options.js'
import { SYNC_MLFLOW_OPTIONS } from '../../src/mlflow/sync.js'
import { PLAN_LIMITS } from '../../src/options/shared.js'
import type { OptionTable } from '../../src/options/table.js'
import { PROGRESS_OPTIONS } from '../../src/progress/progress.js'
import { READ_RUN_OPTIONS } from '../../src/report/read-run.js'
import { RENDER_REPORT_OPTIONS } from '../../src/report/report-options.js'
import { SERVE_HANDLER_OPTIONS } from '../../src/serve/options.js'
import { SERVE_OPTIONS } from '../../src/serve/serve-options.js'
import { DEVICE_OPTIONS } from '../../src/tensor/device.js'
import { LORA_LINEAR_OPTIONS, TFJS_OPTIONS, TFJS_QUANTIZE_OPTIONS, TO_TENSOR_OPTIONS } from '../../src/tfjs/options.js'
import { CSV_OPTIONS, JSONL_OPTIONS, TENSORBOARD_OPTIONS } from '../../src/trackers/options.js'
import { ADAMW_OPTIONS, STEP_OPTIONS } from '../../src/train/adamw.js'
import { EVALUATE_OPTIONS } from '../../src/train/evaluate-loss.js'
import { SIMULATION_OPTIONS } from '../../src/train/simulation-options.js'
import { DEDUPE_ROWS_OPTIONS } from '../../src/transform/dedupe.js'
import { SPLIT_DOCUMENTS_OPTIONS } from '../../src/transform/document-options.js'
import { GENERATE_DATASET_OPTIONS } from '../../src/transform/generate-options.js'
import { APPLY_RULES_OPTIONS } from '../../src/transform/rules.js'
import { SPLIT_ROWS_OPTIONS } from '../../src/transform/split.js'
import { UNIFY_SOURCES_OPTIONS } from '../../src/transform/unify.js'

export const TABLES: Readonly<Record<string, OptionTable>> = {
  BEHAVIOUR_OPTIONS,
  PUSH_TO_HUB_OPTIONS,
  UPDATE_CARD_OPTIONS,
  TRAIN_HOSTED_OPTIONS,
  HOSTED_HYPERPARAMETERS,
  HOSTED_RUN_OPTIONS,
  DEPLOY_HOSTED_OPTIONS,
  CHAT_HOSTED_OPTIONS,
  PREDICT_HOSTED_OPTIONS,
  DELETE_HOSTED_OPTIONS,
  TRAIN_OPTIONS,
  PLAN_OPTIONS,
  PLAN_LIMITS,
  SIMULATION_OPTIONS,
  MLFLOW_OPTIONS,
  REGISTER_OPTIONS,
  CONNECT_MLFLOW_OPTIONS,
  SYNC_MLFLOW_OPTIONS,
  PACK_OPTIONS,
  PREPARE_OPTIONS,
  DATASET_ENTRY,
  DATASET_MIX,
  SPLIT_OPTIONS,
  INSPECT_OPTIONS,
  CHECK_OPTIONS,
  WRITE_OPTIONS,
  WRITE_DELTA_OPTIONS,
  APPLY_RULES_OPTIONS,
  UNIFY_SOURCES_OPTIONS,
  SPLIT_ROWS_OPTIONS,
  DEDUPE_ROWS_OPTIONS,
  PULL_KAGGLE_OPTIONS,
  CLUSTER_OPTIONS,
  SERVED_ENTITY_OPTIONS,
  START_OPTIONS,
  WAIT_OPTIONS,
  TRAINING_OPTIONS,
  TRAINING_WAIT_OPTIONS,
  CLEAN_OPTIONS,
  PUSH_DATASET_OPTIONS,
  FILE_OPTIONS,
  DATABRICKS_OPTIONS,
  UPLOAD_FILE_OPTIONS,
  DOWNLOAD_FILE_OPTIONS,
  DIRECTORY_OPTIONS,
  SYNC_DIRECTORY_OPTIONS,
  STATEMENT_OPTIONS,
  READ_TABLE_OPTIONS,
  CATALOG_OPTIONS,
  CREATE_OPTIONS,
  PULL_OPTIONS,
  PUSH_MODEL_OPTIONS,
  PUSH_ADAPTER_OPTIONS,
  SPLIT_DOCUMENTS_OPTIONS,
  GENERATE_DATASET_OPTIONS,
  RENDER_REPORT_OPTIONS,
  READ_RUN_OPTIONS,
  EVALUATE_OPTIONS,
  EVALUATE_MODELS_OPTIONS,
  CHECK_LOADERS_OPTIONS,
  CONVERT_OPTIONS,
  EXPORT_OPTIONS,
  RUN_TASKS_OPTIONS,
  PERPLEXITY_TASK,
  GENERATION_TASK,
  CLASSIFICATION_TASK,
  MULTIPLE_CHOICE_TASK,
  CLASSIFICATION_OPTIONS,
  CLASSIFICATION_REPORT_OPTIONS,
  BOOTSTRAP_OPTIONS,
  BLEU_OPTIONS,
  CHRF_OPTIONS,
  ROUGE_OPTIONS,
  EXACT_MATCH_OPTIONS,
  TOKEN_F1_OPTIONS,
  JSON_VALIDITY_OPTIONS,
  JUDGE_OPTIONS,
  LOAD_MODEL_OPTIONS,
  CREATE_MODEL_OPTIONS,
  SAVE_MODEL_OPTIONS,
  FORWARD_OPTIONS,
  FORWARD_BATCH,
  GENERATE_OPTIONS,
  TEXT_GENERATION_OPTIONS,
  TEXTS_GENERATION_OPTIONS,
  INFERENCE_OPTIONS,
  SERVE_HANDLER_OPTIONS,
  SERVE_OPTIONS,
  SCORE_CONTINUATIONS_OPTIONS,
  PLAN_GENERATION_OPTIONS,
  CREATE_ADAPTER_OPTIONS,
  LOAD_ADAPTER_OPTIONS,
  MERGE_OPTIONS,
  ADAMW_OPTIONS,
  STEP_OPTIONS,
  DEVICE_OPTIONS,
  LORA_LINEAR_OPTIONS,
  TFJS_OPTIONS,
  TFJS_QUANTIZE_OPTIONS,
  TO_TENSOR_OPTIONS,
  TENSORBOARD_OPTIONS,
  CSV_OPTIONS,
  JSONL_OPTIONS,
  PROGRESS_OPTIONS,
}
