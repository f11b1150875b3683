/** @file The public API; the only file that re-exports. */
// Since TypeScript 6 a program has only the types that it names; the declarations need those of Node.
/// <reference types="node" preserve="true" />

export { type CreateAdapterOptions, type LoadAdapterOptions, LoraAdapter } from './adapters/lora-adapter.js'
export type { LoraBias, LoraConfig, LoraOptions } from './adapters/lora-config.js'
export type { MergedModel, MergeReport } from './adapters/merge.js'
export type { MergeOptions } from './adapters/merge-options.js'
export {
  activeAdapters,
  addAdapter,
  deleteAdapter,
  disableAdapters,
  enableAdapters,
  loadAdapter,
  setAdapter,
} from './adapters/named-adapters.js'
export type { Architecture, Decoder, ForwardContext, KeyValueCache, RaggedInput } from './architecture/architecture.js'
export type { ForwardBatch } from './architecture/batch.js'
export type { ModelConfig, RawConfig } from './architecture/config.js'
export type { RaggedBatch } from './architecture/ragged-batch.js'
export type { GradientCheckpointing } from './autograd/gradient-checkpointing.js'
export type { Parameter } from './autograd/parameter.js'
export { noGrad } from './autograd/tape.js'
export type { CausalLM, ForwardOptions, ForwardResult } from './causal-lm/causal-lm.js'
export { type CreateModelOptions, createModel } from './causal-lm/create-model.js'
export { type LoadModelOptions, loadModel } from './checkpoint/load-model.js'
export type { ResolveModelOptions } from './checkpoint/resolve-model.js'
export { type FileDType, type SaveModelOptions, saveModel } from './checkpoint/save-model.js'
export type { SavedTokenizer } from './checkpoint/save-tokenizer.js'
export type { OnBadRow } from './data/bad-rows.js'
export { type CheckOptions, type CheckReport, checkDataset, type Finding } from './data/check/check-dataset.js'
export type { FoundRow } from './data/check/rule.js'
export { DataSummarizer, type DataSummary, type HistogramBin } from './data/data-summary.js'
export { type PreparedData, type PrepareOptions, prepareDataset } from './data/dataset.js'
export type { DeltaTable } from './data/delta/delta-source.js'
export { type WriteDeltaOptions, type WrittenTable, writeDelta } from './data/delta/write-delta.js'
export type { Example } from './data/examples.js'
export type { RowFormName } from './data/forms/row-form.js'
export { type InspectedRow, type InspectedSequence, type InspectOptions, inspectDataset } from './data/inspect.js'
export type { DataOptions, PackingStrategy } from './data/options.js'
export type { DataStatistics, DataWarning, DataWarningCode, DroppedKind } from './data/report.js'
export type { RowOrigin } from './data/row-origin.js'
export type { DatasetEntry, DatasetMix, PathOptions, PlainSource, RowSelection } from './data/sources/dataset-entry.js'
export type { StoppingStrategy } from './data/sources/mix-rows.js'
export type { DataSource } from './data/sources/open-source.js'
export type { IsWanted, ReadContext, RowBatch, RowSource, SourceLineage, SourceRow } from './data/sources/row-source.js'
export type { SqlQuery } from './data/sources/sql-source.js'
export { type ExampleSplit, type SplitOptions, splitExamples } from './data/split.js'
export type { UnusualKind } from './data/unusual-rows.js'
export type { WriteFormat, WriteRowsOptions } from './data/writers/write-options.js'
export { type WrittenRows, writeRows } from './data/writers/write-rows.js'
export type { Choose, ChooseOne, Decoding, RefillOptions } from './decoding/decoding.js'
export type { GenerateInput, GenerationDefaults } from './decoding/generate-options.js'
export type { KvCache, KvCacheShape } from './decoding/kv-cache.js'
export type { GenerateOptions, SamplingOptions } from './decoding/sampling-options.js'
export type { ContextGroup, ContinuationScore, Scoring } from './decoding/scoring.js'
export type { TokenMask } from './decoding/token-mask.js'
export type { AskingOptions } from './evaluate/asking-options.js'
export { compareBehaviour } from './evaluate/behaviour/compare-behaviour.js'
export type {
  AnswerHabits,
  BehaviourChange,
  BehaviourOptions,
  BehaviourReport,
  RecitedRow,
} from './evaluate/behaviour/options.js'
export { type EvaluateModelsOptions, evaluate } from './evaluate/evaluate.js'
export type {
  ConfusionMatrix,
  EvaluatedModel,
  EvaluatedRow,
  EvaluationReport,
  FewshotReport,
  ReportedMetric,
  RowAnswer,
  Score,
  ScoreDifference,
  TaskReport,
  TaskWarning,
} from './evaluate/evaluation-report.js'
export {
  type AnswersToCompare,
  type AnswerToJudge,
  type ComparedAnswers,
  type CompareReport,
  compareAnswers,
  type JudgeCounts,
  type JudgedAnswer,
  type Judgements,
  type JudgeReport,
  judgeAnswers,
  type PositionBias,
  type Verdict,
} from './evaluate/judge.js'
export type { JudgeOptions, JudgeProgress } from './evaluate/judge-options.js'
export type { JudgeRubric } from './evaluate/judge-rubric.js'
export type { ComparisonSummary, JudgeSummary, TaskJudgeOptions } from './evaluate/judge-task.js'
export { type Regression, type RegressionLimits, regressionsOf } from './evaluate/max-regression.js'
export type { EvaluationProgress, RunTasksOptions } from './evaluate/run-options.js'
export { prepareTasks, runTasks } from './evaluate/run-tasks.js'
export type { AnsweredRow, AskedModel, PreparedTask, TaskAnswers, TaskMetric, TaskRow } from './evaluate/task.js'
export type {
  ChoiceMetricName,
  ClassificationTask,
  CommonTaskOptions,
  EvaluationTask,
  GenerationTask,
  MultipleChoiceTask,
  PerplexityTask,
  ScoreAnswer,
  SharedTaskDataOptions,
} from './evaluate/task-options.js'
export { type UpdateCardOptions, updateModelCard } from './evaluate/update-card.js'
export { type CheckLoadersOptions, checkLoaders } from './export/check-loaders.js'
export type { DifferentToken, ExportComparison } from './export/compare.js'
export { type ConvertAdapterOptions, convertAdapter } from './export/convert-adapter.js'
export type { ExportEvent } from './export/events.js'
export { type ExportReport, exportModel } from './export/export-model.js'
export type { AdapterKind, ExportFormatName } from './export/format-names.js'
export type { GgufFileType } from './export/gguf-file-types.js'
export type { CompareOptions, ExportModelOptions } from './export/options.js'
export { Conversation } from './generation/conversation.js'
export {
  type GeneratedText,
  generateText,
  streamText,
  type TextGenerationOptions,
} from './generation/generate-text.js'
export { generateTexts, type TextsGenerationOptions } from './generation/generate-texts.js'
export { type GenerationPlan, planGeneration } from './generation/plan-generation.js'
export type { GenerationPlanOptions } from './generation/plan-options.js'
export type { Prompt } from './generation/prompt-ids.js'
export {
  type ContinuationItem,
  type ScoreContinuationsOptions,
  scoreContinuations,
} from './generation/score-continuations.js'
export { ServiceError, type ServiceErrorDetails } from './http/service-error.js'
export type { DownloadEvent } from './hub/download-event.js'
export type { FetchModelOptions } from './hub/fetch-model.js'
export { HubError } from './hub/hub-error.js'
export type { ModelPart } from './hub/model-files.js'
export type { ModelLicense, ModelOrigin } from './hub/model-origin.js'
export type { PushEvent, PushedFile, PushToHubOptions } from './hub/push/options.js'
export { type PushResult, pushToHub } from './hub/push/push-to-hub.js'
export type { HubOptions } from './hub/settings.js'
export { createInferenceEngine } from './inference/create-engine.js'
export type { InferenceOptions } from './inference/engine-options.js'
export type {
  FinishReason,
  InferenceAnswer,
  InferenceEngine,
  InferenceFigures,
  InferenceRequest,
  InferenceToken,
  TokenLogprob,
} from './inference/inference-request.js'
export type { TrainLoraOptions } from './integrations/options.js'
export { type PlanOptions, planTraining } from './integrations/plan-training.js'
export type { HubPushOptions, HubStrategy } from './integrations/push-to-hub.js'
export type { RegisterOptions, RegisterSettings } from './integrations/register-as.js'
export type { ReportOptions } from './integrations/report-to.js'
export { simulateTraining } from './integrations/simulate-training.js'
export { trainLora } from './integrations/train-lora.js'
export type { PullKaggleOptions } from './kaggle/options.js'
export { type PulledFiles, pullKaggle } from './kaggle/pull.js'
export type { FindingEffect, LoaderFinding } from './loaders/loader.js'
export type { LoaderName } from './loaders/loader-names.js'
export {
  DataError,
  type DataPlace,
  DivergedError,
  type ErrorCode,
  type ErrorDetails,
  LowrankError,
  ModelError,
  OptionError,
  type OptionProblem,
  OutOfMemoryError,
} from './lowrank-error.js'
export { type BleuOptions, type BleuScore, bleu, type SmoothMethod, sentenceBleu } from './metrics/bleu.js'
export type { BleuTokenizer } from './metrics/bleu-tokenizers.js'
export {
  type BootstrapOptions,
  bootstrapInterval,
  type PairedDifference,
  pairedDifference,
  type ScoreInterval,
  type SumScore,
} from './metrics/bootstrap.js'
export { type CalibrationBin, calibrationBins } from './metrics/calibration.js'
export { type ChrfOptions, type ChrfScore, chrf, sentenceChrf } from './metrics/chrf.js'
export {
  type Average,
  type ClassificationMetricName,
  type ClassificationOptions,
  classificationMetrics,
  type ZeroDivision,
} from './metrics/classification.js'
export {
  type ClassificationReport,
  type ClassificationReportOptions,
  classificationReport,
  type ReportedClass,
} from './metrics/classification-report.js'
export type { ClassifiedRow } from './metrics/classified-row.js'
export { type AnswerNormalization, type ExactMatchOptions, exactMatch } from './metrics/exact-match.js'
export { type JsonValidityOptions, jsonValidity } from './metrics/json-validity.js'
export type { Metric } from './metrics/metric.js'
export {
  type RougeOptions,
  type RougeScore,
  type RougeScores,
  type RougeType,
  type RougeWordOptions,
  rouge,
  sentenceRouge,
} from './metrics/rouge.js'
export type { RougeTokenizer } from './metrics/rouge-tokenizers.js'
export type { SquadVersion } from './metrics/squad.js'
export { type TokenF1Options, tokenF1 } from './metrics/token-f1.js'
export type { PackTask } from './mlflow/model/signature.js'
export type { MlflowOptions } from './mlflow/options.js'
export type {
  Embedding,
  LayerNorm,
  Linear,
  LinearKind,
  ModelBuilder,
  ModelModules,
  Quantization,
  RmsNorm,
  WeightOptions,
} from './nn/module.js'
export type { EndpointUsage, TokenCounts } from './openai/allowance.js'
export { EndpointError, type EndpointFailure } from './openai/endpoint-error.js'
export type { EndpointOptions } from './openai/endpoint-options.js'
export type { DropoutState, LinearOptions, LoraPair, Projection } from './ops/linear.js'
export type { NormResult } from './ops/norm.js'
export type { SamplingParameters } from './ops/sample.js'
export type { PlanLimits } from './options/shared.js'
export { createProgress, type ProgressDisplay, type ProgressOptions } from './progress/progress.js'
export type { Output } from './progress/terminal.js'
export { type ComparedRun, findRuns } from './report/compare-runs.js'
export {
  type BestResult,
  type ReadRunOptions,
  type RunCheckpoint,
  type RunData,
  type RunState,
  readRun,
} from './report/read-run.js'
export { renderReport } from './report/render-report.js'
export type { RenderReportOptions } from './report/report-options.js'
export type { LoggedStep, RunLogLines, SampleAnswer } from './report/run-log-lines.js'
export { writeReport } from './report/write-report.js'
export { createServeHandler, type ServeHandler } from './serve/handler.js'
export { type RunningServer, serve, toNodeListener } from './serve/node-server.js'
export type { ServeHandlerOptions } from './serve/options.js'
export type { RequestLogEntry } from './serve/request-log.js'
export type { ServeOptions } from './serve/serve-options.js'
export type { EmulatorOptions, Field, MemoryHolders, MemoryInfo, NativeStream, OpTimes } from './tensor/addon.js'
export {
  type CommandList,
  type ConstantArguments,
  Device,
  type DeviceName,
  type DeviceOptions,
  type OpArgument,
  type OpArguments,
  type View,
} from './tensor/device.js'
export type { ComputeDType, DType } from './tensor/dtype.js'
export type { Nf4Weight } from './tensor/nf4.js'
export { scope } from './tensor/scope.js'
export { type GraphEdge, type Recompute, Tensor } from './tensor/tensor.js'
export { asTokenizer, type ForeignTokenizer } from './tokenizer/adapt.js'
export type { ChatMessage, NamedTemplates, RenderOptions } from './tokenizer/chat-template.js'
export type { DroppedPart } from './tokenizer/dropped-parts.js'
export type { Templates } from './tokenizer/template-files.js'
export {
  type DecodeOptions,
  type EncodedText,
  type EncodeOptions,
  loadTokenizer,
  type Tokenizer,
} from './tokenizer/tokenizer.js'
export type { CsvOptions, JsonlOptions, TensorboardOptions } from './trackers/options.js'
export { AdamW, type AdamWOptions, type Moments, type StepOptions } from './train/adamw.js'
export type { RunControl, TrainCallback } from './train/callbacks.js'
export type { DuringRunOptions, IntervalStrategy, SaveStrategy } from './train/during-run-options.js'
export type { NamedDataSources } from './train/eval-datasets.js'
export { type EvaluateOptions, type Evaluation, evaluateLoss, type Scores } from './train/evaluate-loss.js'
export type {
  BestEvaluation,
  DataEvent,
  DataSplit,
  EndEvent,
  EvaluateEvent,
  EvaluatingEvent,
  FailEvent,
  LoadEvent,
  LogEvent,
  MemoryFigures,
  PrepareEvent,
  PresetEvent,
  Progress,
  SampledAnswer,
  SaveEvent,
  StartEvent,
  StepEvent,
  StepFigures,
  StreamedRows,
  TrainEvent,
  WarningEvent,
} from './train/events.js'
export type { MemoryNeed, TensorBytes } from './train/memory-estimate.js'
export type { TrainRunOptions } from './train/options.js'
export type { PlanAlternative, PlannedMemory, PlanRunOptions, PlanSettings, TrainingPlan } from './train/plan.js'
export { PRESETS, type Preset, type PresetName, type PresetOptions } from './train/presets.js'
export type { ProbeOptions, SamplePrompt } from './train/probe-options.js'
export type { RunSession, RunStatus } from './train/run-status.js'
export type { LrSchedulerType } from './train/schedule.js'
export type { SimulatedLog, SimulatedMemory, Simulation } from './train/simulate.js'
export type { SimulationOptions } from './train/simulation-options.js'
export type { RunStatistics, TrainResult, TrainRun } from './train/train-run.js'
export type { TrainingOptions } from './train/training-options.js'
export { type DedupeReport, type DedupeRowsOptions, dedupeRows } from './transform/dedupe.js'
export { type DedupeSqlOptions, dedupeSql } from './transform/dedupe-sql.js'
export type { SplitDocumentsOptions } from './transform/document-options.js'
export { type DocumentsReport, type SkippedDocument, splitDocuments } from './transform/documents.js'
export { type GenerateReport, generateDataset } from './transform/generate.js'
export type { ReplyCounts } from './transform/generate-asker.js'
export type { GenerateDatasetOptions, GenerateProgress } from './transform/generate-options.js'
export { type GenerateDatasetPlan, planGenerateDataset } from './transform/generate-plan.js'
export type { PromptFile } from './transform/generate-prompts.js'
export type { MappingFile } from './transform/mapping-file.js'
export { type MendReport, mendRows } from './transform/mend.js'
export type { TransformOptions } from './transform/options.js'
export type { RuleFile } from './transform/rule-file.js'
export { type ApplyRulesOptions, applyRules, type RulesReport } from './transform/rules.js'
export { rulesSql } from './transform/rules-sql.js'
export { type SplitBy, type SplitReport, type SplitRowsOptions, splitRows } from './transform/split.js'
export { splitSql } from './transform/split-sql.js'
export type { Shares } from './transform/splits.js'
export { type SourceCounts, type UnifyReport, type UnifySourcesOptions, unifySources } from './transform/unify.js'
export { unifySql } from './transform/unify-sql.js'
export type { Steps, Turns } from './turns.js'
export type { SafetensorsDType, TensorToWrite } from './weights/safetensors.js'
