// @ts-check
/**
 * @file Writes docs/options.md from the tables of options of the built library; run it after a build. A test fails where the page is not what this
 * makes.
 */

import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * @typedef {{ rule: { expected: string }, default?: unknown, otherwise?: string, help: string, heading?: string, isRequired?: true,
 *   changesRun?: true, flag?: { name: string }, table?: Table }} Entry
 * @typedef {Readonly<Record<string, Entry>>} Table
 * @typedef {{ title: string, about: string, file: string, table: string, type: string }} Section
 */

/** A function, what its options are for, and where their table and their type stand. @type {readonly Section[]} */
export const SECTIONS = [
  {
    title: 'trainLora(options)',
    about:
      'Trains an adapter or a whole model. The same options stand in the YAML file of `lowrank train`; those with a flag are in brackets.',
    file: 'integrations/options',
    table: 'TRAIN_OPTIONS',
    type: 'TrainLoraOptions',
  },
  {
    title: 'planTraining(options, limits)',
    about: 'Finds the memory of a run before it starts. The options are those of `trainLora`; two differ.',
    file: 'integrations/plan-training',
    table: 'PLAN_OPTIONS',
    type: 'PlanOptions',
  },
  {
    title: 'limits of planTraining and planGeneration',
    about: 'What a plan is compared with.',
    file: 'options/shared',
    table: 'PLAN_LIMITS',
    type: 'PlanLimits',
  },
  {
    title: 'simulateTraining(options, simulation)',
    about: 'What a simulation makes up; its `options` are those of `trainLora`. Flags are those of `lowrank simulate`.',
    file: 'train/simulation-options',
    table: 'SIMULATION_OPTIONS',
    type: 'SimulationOptions',
  },
  {
    title: 'register',
    about: 'Into which registry `registerAs` of `trainLora` registers, and what the version says.',
    file: 'integrations/register-as',
    table: 'REGISTER_OPTIONS',
    type: 'RegisterSettings',
  },
  {
    title: 'pushToHub(directory, id, options)',
    about: 'Pushes an adapter, a model or the result of a run to the Hub. Flags are those of `lowrank push hub`.',
    file: 'hub/push/options',
    table: 'PUSH_TO_HUB_OPTIONS',
    type: 'PushToHubOptions',
  },
  {
    title: 'exportModel(options)',
    about:
      'Writes a model or an adapter for another program, opens it again and compares. Flags are those of `lowrank export`.',
    file: 'export/options',
    table: 'EXPORT_OPTIONS',
    type: 'ExportModelOptions',
  },
  {
    title: 'convertAdapter(options)',
    about:
      'Turns an adapter of PEFT, mlx-lm or llama.cpp into one of another of these. Flags are those of `lowrank convert`.',
    file: 'export/convert-adapter',
    table: 'CONVERT_OPTIONS',
    type: 'ConvertAdapterOptions',
  },
  {
    title: 'checkLoaders(options)',
    about:
      'Says what vLLM, llama.cpp, Ollama, mlx-lm, PEFT and transformers would refuse. The flag is `--check` of `lowrank export`.',
    file: 'export/check-loaders',
    table: 'CHECK_LOADERS_OPTIONS',
    type: 'CheckLoadersOptions',
  },
  {
    title: 'compareBehaviour(model, tokenizer, options)',
    about:
      'Tells what else an adapter changed, and which rows of training it recites. The same stand in `behaviour` of `evaluate`.',
    file: 'evaluate/behaviour/options',
    table: 'BEHAVIOUR_OPTIONS',
    type: 'BehaviourOptions',
  },
  {
    title: 'updateModelCard(directory, report, options)',
    about: 'Puts the results of an evaluation into the README.md of an adapter or a model.',
    file: 'evaluate/update-card',
    table: 'UPDATE_CARD_OPTIONS',
    type: 'UpdateCardOptions',
  },
  {
    title: 'trainHosted(options)',
    about:
      'Fine-tunes a model at Azure OpenAI, OpenAI or Vertex AI, from `lowrank/hosted`. Flags are those of `lowrank hosted train`.',
    file: 'hosted/options',
    table: 'TRAIN_HOSTED_OPTIONS',
    type: 'TrainHostedOptions',
  },
  {
    title: 'trainHosted: hyperparameters',
    about: 'Numbers that steer a hosted training.',
    file: 'hosted/options',
    table: 'HOSTED_HYPERPARAMETERS',
    type: 'HostedHyperparameters',
  },
  {
    title: 'hostedStatus(options), cancelHosted(options)',
    about: 'Looks at a hosted run, or cancels its job.',
    file: 'hosted/run-options',
    table: 'HOSTED_RUN_OPTIONS',
    type: 'HostedRunOptions',
  },
  {
    title: 'deployHosted(options)',
    about: 'Deploys the tuned model of a hosted run.',
    file: 'hosted/run-options',
    table: 'DEPLOY_HOSTED_OPTIONS',
    type: 'DeployHostedOptions',
  },
  {
    title: 'chatHosted(options)',
    about: 'Asks the tuned model of a hosted run.',
    file: 'hosted/run-options',
    table: 'CHAT_HOSTED_OPTIONS',
    type: 'ChatHostedOptions',
  },
  {
    title: 'predictHosted(options)',
    about: 'Writes answers of a tuned model to the rows of a data set.',
    file: 'hosted/run-options',
    table: 'PREDICT_HOSTED_OPTIONS',
    type: 'PredictHostedOptions',
  },
  {
    title: 'deleteHosted(options)',
    about: 'Deletes what a hosted run made at its service.',
    file: 'hosted/run-options',
    table: 'DELETE_HOSTED_OPTIONS',
    type: 'DeleteHostedOptions',
  },
  {
    title: 'mlflowCallback(options)',
    about: 'Records a run in MLflow. In `trainLora` the same options stand in `mlflow`.',
    file: 'mlflow/options',
    table: 'MLFLOW_OPTIONS',
    type: 'MlflowOptions',
  },
  {
    title: 'connectMlflow(options)',
    about: 'Asks an MLflow server, or Databricks, from a program.',
    file: 'mlflow/open',
    table: 'CONNECT_MLFLOW_OPTIONS',
    type: 'ConnectMlflowOptions',
  },
  {
    title: 'syncMlflow(directory, options)',
    about: 'Sends what a run has written down for MLflow. Flags are those of `lowrank mlflow sync`.',
    file: 'mlflow/sync',
    table: 'SYNC_MLFLOW_OPTIONS',
    type: 'SyncMlflowOptions',
  },
  {
    title: 'packAdapter(directory, options), packModel(directory, options)',
    about: 'Makes the model directory of MLflow of an adapter or a whole model.',
    file: 'mlflow/model/pack-options',
    table: 'PACK_OPTIONS',
    type: 'PackOptions',
  },
  {
    title: 'prepareDataset(source, tokenizer, options)',
    about: 'Reads rows and makes examples of them, as `trainLora` does.',
    file: 'data/dataset',
    table: 'PREPARE_OPTIONS',
    type: 'PrepareOptions',
  },
  {
    title: 'a data set as an object: {path, ...}',
    about: 'Names a data set, or a part of one, where `dataset` takes a path.',
    file: 'data/sources/dataset-entry',
    table: 'DATASET_ENTRY',
    type: 'DatasetEntry',
  },
  {
    title: 'a mix of data sets: {mix, ...}',
    about: 'Draws rows from several data sets by weight.',
    file: 'data/sources/dataset-entry',
    table: 'DATASET_MIX',
    type: 'DatasetMix',
  },
  {
    title: 'splitExamples(examples, options)',
    about: 'Holds out examples for evaluation.',
    file: 'data/split',
    table: 'SPLIT_OPTIONS',
    type: 'SplitOptions',
  },
  {
    title: 'inspectDataset(source, tokenizer, options)',
    about: 'Reads rows one by one and shows each as training sees it.',
    file: 'data/inspect',
    table: 'INSPECT_OPTIONS',
    type: 'InspectOptions',
  },
  {
    title: 'checkDataset(source, tokenizer, options), mendRows(source, tokenizer, output, options)',
    about:
      'Tell what is wrong with rows before training, and write a copy without what can be mended without guessing.',
    file: 'data/check/check-dataset',
    table: 'CHECK_OPTIONS',
    type: 'CheckOptions',
  },
  {
    title: 'writeRows(rows, path, options)',
    about: 'Writes rows as JSON Lines, CSV, Parquet or Arrow.',
    file: 'data/writers/write-options',
    table: 'WRITE_OPTIONS',
    type: 'WriteRowsOptions',
  },
  {
    title: 'writeDelta(rows, directory, options)',
    about: 'Writes rows as a Delta table.',
    file: 'data/delta/write-delta',
    table: 'WRITE_DELTA_OPTIONS',
    type: 'WriteDeltaOptions',
  },
  {
    title: 'applyRules(options)',
    about: 'Makes instructions of the rows of a table, by a file of rules.',
    file: 'transform/rules',
    table: 'APPLY_RULES_OPTIONS',
    type: 'ApplyRulesOptions',
  },
  {
    title: 'unifySources(options)',
    about: 'Makes one data set of several, by a file that maps their columns.',
    file: 'transform/unify',
    table: 'UNIFY_SOURCES_OPTIONS',
    type: 'UnifySourcesOptions',
  },
  {
    title: 'splitRows(options), splitSql(table, options)',
    about: 'Divide a data set into files, or say in SQL to which split a row belongs. `splitSql` takes the first four.',
    file: 'transform/split',
    table: 'SPLIT_ROWS_OPTIONS',
    type: 'SplitRowsOptions',
  },
  {
    title: 'dedupeRows(options)',
    about: 'Leaves out rows that are there twice, and rows of an evaluation set.',
    file: 'transform/dedupe',
    table: 'DEDUPE_ROWS_OPTIONS',
    type: 'DedupeRowsOptions',
  },
  {
    title: 'pullKaggle(name, options)',
    about: 'Fetches a data set of Kaggle and unpacks it.',
    file: 'kaggle/options',
    table: 'PULL_KAGGLE_OPTIONS',
    type: 'PullKaggleOptions',
  },
  {
    title: 'connectDatabricks(options)',
    about: 'Says which Databricks workspace is asked, and by whom. Every option `databricks` takes the same.',
    file: 'databricks/client/connect-options',
    table: 'DATABRICKS_OPTIONS',
    type: 'DatabricksOptions',
  },
  {
    title: 'createCluster(spec)',
    about: 'What a new cluster of a Databricks workspace is like.',
    file: 'databricks/cluster-spec',
    table: 'CLUSTER_OPTIONS',
    type: 'ClusterSpec',
  },
  {
    title: 'createEndpoint(name, entity), updateEndpoint',
    about: 'What a serving endpoint serves.',
    file: 'databricks/served-entity',
    table: 'SERVED_ENTITY_OPTIONS',
    type: 'ServedEntity',
  },
  {
    title: 'createCluster, startCluster, startWarehouse, createEndpoint, updateEndpoint(..., options)',
    about: 'Make or start what runs in a Databricks workspace.',
    file: 'databricks/options',
    table: 'START_OPTIONS',
    type: 'StartOptions',
  },
  {
    title: 'waitForCluster, installLibraries, waitForWarehouse, waitForEndpoint, waitForRun(..., options)',
    about: 'Wait for what a Databricks workspace does.',
    file: 'databricks/options',
    table: 'WAIT_OPTIONS',
    type: 'WaitOptions',
  },
  {
    title: 'submitTraining(config, options)',
    about: 'Trains on a GPU of a Databricks workspace.',
    file: 'databricks/training/options',
    table: 'TRAINING_OPTIONS',
    type: 'TrainingOptions',
  },
  {
    title: 'waitForTraining(run, options)',
    about: 'Waits for a training run, and fetches its result.',
    file: 'databricks/training/options',
    table: 'TRAINING_WAIT_OPTIONS',
    type: 'TrainingWaitOptions',
  },
  {
    title: 'clean(options)',
    about: 'Removes what lowrank made in a Databricks workspace.',
    file: 'databricks/clean',
    table: 'CLEAN_OPTIONS',
    type: 'CleanOptions',
  },
  {
    title: 'getMetadata, createDirectory, deleteFile, streamFile, abortUploads(path, options)',
    about: 'Ask for, make, remove and read files of a Databricks workspace.',
    file: 'databricks/client/files/options',
    table: 'FILE_OPTIONS',
    type: 'FileOptions',
  },
  {
    title: 'uploadFile(source, path, options)',
    about: 'Puts a file, bytes or a stream at a path of a Databricks workspace.',
    file: 'databricks/client/files/options',
    table: 'UPLOAD_FILE_OPTIONS',
    type: 'UploadFileOptions',
  },
  {
    title: 'downloadFile(path, target, options)',
    about: 'Fetches a file of a Databricks workspace.',
    file: 'databricks/client/files/options',
    table: 'DOWNLOAD_FILE_OPTIONS',
    type: 'DownloadFileOptions',
  },
  {
    title: 'listDirectory, deleteDirectory(path, options)',
    about: 'List and remove directories of a Databricks workspace.',
    file: 'databricks/client/files/options',
    table: 'DIRECTORY_OPTIONS',
    type: 'DirectoryOptions',
  },
  {
    title: 'syncDirectory(source, target, options)',
    about: 'Makes a directory like another, one of them in a Databricks workspace.',
    file: 'databricks/client/files/options',
    table: 'SYNC_DIRECTORY_OPTIONS',
    type: 'SyncDirectoryOptions',
  },
  {
    title: 'executeStatement(statement, options)',
    about: 'Runs a SQL statement on a warehouse of Databricks.',
    file: 'databricks/client/statement-options',
    table: 'STATEMENT_OPTIONS',
    type: 'StatementOptions',
  },
  {
    title: 'readTable(address, options)',
    about: 'Reads a table of Unity Catalog as Arrow.',
    file: 'databricks/client/read-table',
    table: 'READ_TABLE_OPTIONS',
    type: 'ReadTableOptions',
  },
  {
    title: 'pushDataset(rows, table, options)',
    about: 'Pushes rows to a table of Unity Catalog.',
    file: 'databricks/push/options',
    table: 'PUSH_DATASET_OPTIONS',
    type: 'PushDatasetOptions',
  },
  {
    title: 'listTables, getTable, deleteTable(name, options)',
    about:
      'List, show and delete what is in Unity Catalog; catalogs, schemas and volumes by functions of the same kind.',
    file: 'databricks/client/unity-catalog',
    table: 'CATALOG_OPTIONS',
    type: 'CatalogOptions',
  },
  {
    title: 'createCatalog, createSchema, createVolume(name, options)',
    about: 'Make catalogs, schemas and volumes in Unity Catalog.',
    file: 'databricks/client/unity-catalog',
    table: 'CREATE_OPTIONS',
    type: 'CreateOptions',
  },
  {
    title: 'pullAdapter, pullModel(address, options)',
    about: 'Bring a version of a registered model of Unity Catalog to this machine.',
    file: 'databricks/client/models/pull-options',
    table: 'PULL_OPTIONS',
    type: 'PullOptions',
  },
  {
    title: 'pushAdapter(directory, name, options)',
    about: 'Registers a LoRA adapter as a version of a model: in Unity Catalog, or on an MLflow server.',
    file: 'databricks/registry/push-options',
    table: 'PUSH_ADAPTER_OPTIONS',
    type: 'PushAdapterOptions',
  },
  {
    title: 'pushModel(directory, name, options)',
    about: 'Registers a whole model as a version of a model: in Unity Catalog, or on an MLflow server.',
    file: 'databricks/registry/push-options',
    table: 'PUSH_MODEL_OPTIONS',
    type: 'PushModelOptions',
  },
  {
    title: 'splitDocuments(options)',
    about: 'Makes rows of documents: chunks of text that overlap.',
    file: 'transform/document-options',
    table: 'SPLIT_DOCUMENTS_OPTIONS',
    type: 'SplitDocumentsOptions',
  },
  {
    title: 'generateDataset(options)',
    about:
      'Writes questions and answers about the texts of rows, by a model behind an endpoint. `planGenerateDataset` takes the same, but for `output`. Flags are those of `lowrank data generate`.',
    file: 'transform/generate-options',
    table: 'GENERATE_DATASET_OPTIONS',
    type: 'GenerateDatasetOptions',
  },
  {
    title: 'evaluate(options)',
    about:
      'Scores a model with and without adapters on tasks. Flags are those of `lowrank eval`, whose file holds these options too.',
    file: 'evaluate/evaluate',
    table: 'EVALUATE_MODELS_OPTIONS',
    type: 'EvaluateModelsOptions',
  },
  {
    title: 'runTasks(model, tokenizer, tasks, options)',
    about: 'Scores a loaded model on tasks, as it is.',
    file: 'evaluate/run-options',
    table: 'RUN_TASKS_OPTIONS',
    type: 'RunTasksOptions',
  },
  {
    title: 'a task of type perplexity',
    about: 'How likely a model finds what the rows say.',
    file: 'evaluate/task-options',
    table: 'PERPLEXITY_TASK',
    type: 'PerplexityTask',
  },
  {
    title: 'a task of type generation',
    about: 'How good answers are that a model writes.',
    file: 'evaluate/task-options',
    table: 'GENERATION_TASK',
    type: 'GenerationTask',
  },
  {
    title: 'a task of type classification',
    about: 'The class of each row.',
    file: 'evaluate/task-options',
    table: 'CLASSIFICATION_TASK',
    type: 'ClassificationTask',
  },
  {
    title: 'a task of type multiple-choice',
    about: 'Which of several texts is right.',
    file: 'evaluate/task-options',
    table: 'MULTIPLE_CHOICE_TASK',
    type: 'MultipleChoiceTask',
  },
  {
    title: 'renderReport(options), writeReport(path, options)',
    about: 'Make one HTML file of a run or of evaluations.',
    file: 'report/report-options',
    table: 'RENDER_REPORT_OPTIONS',
    type: 'RenderReportOptions',
  },
  {
    title: 'readRun(directory, options)',
    about: 'Reads what the directory of a run tells of it.',
    file: 'report/read-run',
    table: 'READ_RUN_OPTIONS',
    type: 'ReadRunOptions',
  },
  {
    title: 'evaluateLoss(model, examples, options)',
    about: 'Scores held-out examples.',
    file: 'train/evaluate-loss',
    table: 'EVALUATE_OPTIONS',
    type: 'EvaluateOptions',
  },
  {
    title: 'classificationMetrics(options)',
    about: 'Scores labels: metrics as scikit-learn computes them.',
    file: 'metrics/classification',
    table: 'CLASSIFICATION_OPTIONS',
    type: 'ClassificationOptions',
  },
  {
    title: 'classificationReport(rows, options)',
    about: 'Says of a classification what scikit-learn says: scores by class, averages, the confusion matrix.',
    file: 'metrics/classification-report',
    table: 'CLASSIFICATION_REPORT_OPTIONS',
    type: 'ClassificationReportOptions',
  },
  {
    title: 'bootstrapInterval(rows, metric, options), pairedDifference(rows, baseRows, metric, options)',
    about: 'Say how certain a score is, and whether two models differ on the same rows.',
    file: 'metrics/bootstrap',
    table: 'BOOTSTRAP_OPTIONS',
    type: 'BootstrapOptions',
  },
  {
    title: 'bleu(predictions, references, options)',
    about: 'BLEU as sacrebleu computes it; `sentenceBleu` and the metric `bleu` of tasks take the same options.',
    file: 'metrics/bleu',
    table: 'BLEU_OPTIONS',
    type: 'BleuOptions',
  },
  {
    title: 'chrf(predictions, references, options)',
    about:
      'chrF as sacrebleu computes it; `sentenceChrf` and the metrics `chrf` and `chrf_plus_plus` of tasks take the same options.',
    file: 'metrics/chrf',
    table: 'CHRF_OPTIONS',
    type: 'ChrfOptions',
  },
  {
    title: 'rouge(predictions, references, options)',
    about:
      'ROUGE as rouge_score computes it; `sentenceRouge` takes the same options, and the metrics `rouge1`, `rouge2`, `rougeL` and `rougeLsum` of tasks all but `rougeTypes`.',
    file: 'metrics/rouge',
    table: 'ROUGE_OPTIONS',
    type: 'RougeOptions',
  },
  {
    title: 'exactMatch(predictions, references, options)',
    about: 'The share of answers that equal a reference.',
    file: 'metrics/exact-match',
    table: 'EXACT_MATCH_OPTIONS',
    type: 'ExactMatchOptions',
  },
  {
    title: 'tokenF1(predictions, references, options)',
    about: 'F1 over words as SQuAD computes it.',
    file: 'metrics/token-f1',
    table: 'TOKEN_F1_OPTIONS',
    type: 'TokenF1Options',
  },
  {
    title: 'jsonValidity(predictions, options)',
    about: 'The share of answers that are JSON.',
    file: 'metrics/json-validity',
    table: 'JSON_VALIDITY_OPTIONS',
    type: 'JsonValidityOptions',
  },
  {
    title: 'judgeAnswers(rows, options), compareAnswers(rows, options)',
    about: 'Have a model behind an endpoint score answers, or say which of two is better.',
    file: 'evaluate/judge-options',
    table: 'JUDGE_OPTIONS',
    type: 'JudgeOptions',
  },
  {
    title: 'loadModel(idOrPath, options)',
    about: 'Loads a model from a directory, a GGUF file or the Hub.',
    file: 'checkpoint/load-model',
    table: 'LOAD_MODEL_OPTIONS',
    type: 'LoadModelOptions',
  },
  {
    title: 'createModel(config, options)',
    about: 'Makes a model with fresh weights.',
    file: 'causal-lm/create-model',
    table: 'CREATE_MODEL_OPTIONS',
    type: 'CreateModelOptions',
  },
  {
    title: 'saveModel(model, directory, options)',
    about: 'Writes a model as transformers reads it.',
    file: 'checkpoint/save-model',
    table: 'SAVE_MODEL_OPTIONS',
    type: 'SaveModelOptions',
  },
  {
    title: 'model.forward(batch, options)',
    about: 'Computes the loss of a batch, and its logits where asked for.',
    file: 'causal-lm/causal-lm',
    table: 'FORWARD_OPTIONS',
    type: 'ForwardOptions',
  },
  {
    title: 'batch of model.forward',
    about: 'What a forward pass is of.',
    file: 'architecture/batch',
    table: 'FORWARD_BATCH',
    type: 'ForwardBatch',
  },
  {
    title: 'model.generate(ids, options), model.stream(ids, options)',
    about: 'Continue prompts of token ids.',
    file: 'decoding/sampling-options',
    table: 'GENERATE_OPTIONS',
    type: 'GenerateOptions',
  },
  {
    title: 'generateText(model, tokenizer, prompt, options), streamText(...), conversation.send(content, options)',
    about: 'Continue texts and conversations.',
    file: 'generation/generate-text',
    table: 'TEXT_GENERATION_OPTIONS',
    type: 'TextGenerationOptions',
  },
  {
    title: 'generateTexts(model, tokenizer, prompts, options)',
    about: 'Answers many prompts in batches. The options are those of `generateText`; two are its own.',
    file: 'generation/generate-texts',
    table: 'TEXTS_GENERATION_OPTIONS',
    type: 'TextsGenerationOptions',
  },
  {
    title: 'createInferenceEngine(model, options)',
    about: 'Makes an engine that answers many requests at once.',
    file: 'inference/engine-options',
    table: 'INFERENCE_OPTIONS',
    type: 'InferenceOptions',
  },
  {
    title: 'createServeHandler(model, tokenizer, options)',
    about: "Serves a model with OpenAI's interface, from `Request` to `Response`. Flags are those of `lowrank serve`.",
    file: 'serve/options',
    table: 'SERVE_HANDLER_OPTIONS',
    type: 'ServeHandlerOptions',
  },
  {
    title: 'serve(handler, options)',
    about: "Serves a handler by Node's http server. Flags are those of `lowrank serve`.",
    file: 'serve/serve-options',
    table: 'SERVE_OPTIONS',
    type: 'ServeOptions',
  },
  {
    title: 'scoreContinuations(model, items, options)',
    about: 'Finds how likely continuations are after their contexts.',
    file: 'generation/score-continuations',
    table: 'SCORE_CONTINUATIONS_OPTIONS',
    type: 'ScoreContinuationsOptions',
  },
  {
    title: 'planGeneration(options, limits)',
    about: 'Finds the memory that answers take.',
    file: 'generation/plan-options',
    table: 'PLAN_GENERATION_OPTIONS',
    type: 'GenerationPlanOptions',
  },
  {
    title: 'LoraAdapter.create(model, lora, options)',
    about: 'Makes an adapter. The settings of `lora` are those of `trainLora`.',
    file: 'adapters/lora-adapter',
    table: 'CREATE_ADAPTER_OPTIONS',
    type: 'CreateAdapterOptions',
  },
  {
    title: 'LoraAdapter.load(model, directory, options)',
    about: 'Loads an adapter that lowrank or PEFT saved.',
    file: 'adapters/lora-adapter',
    table: 'LOAD_ADAPTER_OPTIONS',
    type: 'LoadAdapterOptions',
  },
  {
    title: 'adapter.merge(directory, options)',
    about: 'Writes the model with the adapter folded in.',
    file: 'adapters/merge-options',
    table: 'MERGE_OPTIONS',
    type: 'MergeOptions',
  },
  {
    title: 'new AdamW(parameters, options)',
    about: 'The optimizer of a training loop of your own; its defaults are those of PyTorch.',
    file: 'train/adamw',
    table: 'ADAMW_OPTIONS',
    type: 'AdamWOptions',
  },
  {
    title: 'optimizer.step(options)',
    about: 'Makes one update.',
    file: 'train/adamw',
    table: 'STEP_OPTIONS',
    type: 'StepOptions',
  },
  {
    title: 'Device.open(name, options)',
    about: 'Opens a device that several models share.',
    file: 'tensor/device',
    table: 'DEVICE_OPTIONS',
    type: 'DeviceOptions',
  },
  {
    title: 'createTfjsOps(tf, options)',
    about: 'Makes the ops of `lowrank/tfjs` for a TensorFlow.js.',
    file: 'tfjs/options',
    table: 'TFJS_OPTIONS',
    type: 'TfjsOptions',
  },
  {
    title: 'ops.quantizeNf4(x, options)',
    about: 'Puts a matrix of TensorFlow.js in NF4.',
    file: 'tfjs/options',
    table: 'TFJS_QUANTIZE_OPTIONS',
    type: 'TfjsQuantizeOptions',
  },
  {
    title: 'ops.loraLinear(x, weight, a, b, options)',
    about: 'A linear layer with LoRA in TensorFlow.js.',
    file: 'tfjs/options',
    table: 'LORA_LINEAR_OPTIONS',
    type: 'LoraLinearOptions',
  },
  {
    title: 'ops.toTensor(x, options)',
    about: "A tensor of TensorFlow.js as one of lowrank's.",
    file: 'tfjs/options',
    table: 'TO_TENSOR_OPTIONS',
    type: 'ToTensorOptions',
  },
  {
    title: 'tensorboard',
    about: "Where `trainLora` writes event files with `reportTo: 'tensorboard'`.",
    file: 'trackers/options',
    table: 'TENSORBOARD_OPTIONS',
    type: 'TensorboardOptions',
  },
  {
    title: 'csv',
    about: "Where `trainLora` writes rows with `reportTo: 'csv'`.",
    file: 'trackers/options',
    table: 'CSV_OPTIONS',
    type: 'CsvOptions',
  },
  {
    title: 'jsonl',
    about: "Where `trainLora` writes lines of JSON with `reportTo: 'jsonl'`.",
    file: 'trackers/options',
    table: 'JSONL_OPTIONS',
    type: 'JsonlOptions',
  },
  {
    title: 'createProgress(options)',
    about: 'Shows a run on a terminal, in a log file or as JSON lines.',
    file: 'progress/progress',
    table: 'PROGRESS_OPTIONS',
    type: 'ProgressOptions',
  },
]

const HEAD = `# Options

<!-- Written by scripts/options-page.mjs from the tables that also check the options. Change the tables. -->

Every option of every function: what it takes, its default, and what it does. An unknown option or a wrong value is an error
that names the nearest option. Options of \`trainLora\` may also be written as in Python, \`num_train_epochs\`.

In the column "resume", "same" marks what a run must keep when it goes on from a checkpoint; everything else may be changed.
`

/**
 * The text of the page.
 * @param {(file: string) => Promise<any>} load imports a module of the library by its path below src/, without its ending
 */
export async function optionsPage(load) {
  const parts = [HEAD]
  for (const { title, about, file, table: name } of SECTIONS) {
    /** @type {Table} */
    const table = (await load(file))[name]
    parts.push(`## ${title}\n\n${about}\n`)
    parts.push(
      ...(name === 'PLAN_OPTIONS' ? [rowsOf({ model: table.model, dataset: table.dataset })] : tablesOf(table)),
    )
  }
  return parts.join('\n')
}

/** @param {Table} table @returns {string[]} the table, and those of the options that hold others */
function tablesOf(table) {
  const nested = Object.entries(table).flatMap(([name, { table: inner }]) =>
    inner ? [`### ${name}\n\nWhat the option \`${name}\` holds.\n`, rowsOf(inner)] : [],
  )
  return [rowsOf(table), ...nested]
}

/** @param {Table} table */
function rowsOf(table) {
  const resumes = Object.values(table).some(({ changesRun }) => changesRun)
  const row = (/** @type {string[]} */ ...cells) => `| ${cells.slice(0, resumes ? 5 : 4).join(' | ')} |`
  const lines = Object.entries(table).map(([name, entry]) => {
    const flag = entry.flag ? ` (\`${entry.flag.name}\`)` : ''
    const takes = entry.table ? `see [${name}](#${name.toLowerCase()})` : cell(entry.rule.expected.replace(/,$/, ''))
    return row(`\`${name}\`${flag}`, takes, defaultOf(entry), cell(entry.help), entry.changesRun ? 'same' : '')
  })
  return `${[row('option', 'takes', 'default', 'what it does', 'resume'), row('---', '---', '---', '---', '---'), ...lines].join('\n')}\n`
}

/** @param {Entry} entry */
function defaultOf({ default: value, otherwise, isRequired }) {
  if (isRequired) return 'required'
  if (otherwise !== undefined) return cell(otherwise)
  if (value === undefined) return 'none'
  const isSmall = typeof value === 'number' && value !== 0 && Math.abs(value) < 0.01
  const text = typeof value === 'string' ? `'${value}'` : isSmall ? value.toExponential() : JSON.stringify(value)
  return `\`${text}\``
}

/** @param {string} text */
function cell(text) {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const page = fileURLToPath(new URL('../docs/options.md', import.meta.url))
  writeFileSync(page, await optionsPage((file) => import(new URL(`../dist/${file}.js`, import.meta.url).href)))
}
