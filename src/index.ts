/** @file The public API; the only file that re-exports. */

export { type AdapterPlace, type CreateAdapterOptions, LoraAdapter } from './adapters/lora-adapter.js'
export type { LoraConfig, LoraOptions } from './adapters/lora-config.js'
export type { MergeOptions, MergeReport } from './adapters/merge.js'
export {
  activeAdapters,
  addAdapter,
  deleteAdapter,
  disableAdapters,
  enableAdapters,
  loadAdapter,
  setAdapter,
} from './adapters/named-adapters.js'
export type { GradientCheckpointing } from './autograd/checkpoint.js'
export type { Parameter } from './autograd/parameter.js'
export { noGrad } from './autograd/tape.js'
export { type LoadModelOptions, loadModel } from './checkpoint/load-model.js'
export { type FileDType, type SaveModelOptions, saveModel } from './checkpoint/save-model.js'
export { createProgress, type ProgressOptions } from './cli/progress.js'
export { type Dataset, prepareDataset } from './data/dataset.js'
export type { DataStatistics, DataWarning } from './data/report.js'
export { Conversation } from './generation/conversation.js'
export {
  type GeneratedText,
  generateText,
  streamText,
  type TextGenerationOptions,
} from './generation/generate-text.js'
export { type GenerationPlan, type GenerationPlanOptions, planGeneration } from './generation/plan-generation.js'
export type { DownloadEvent } from './hub/fetch-model.js'
export { HubError } from './hub/hub-error.js'
export type { HubOptions } from './hub/settings.js'
export type { ForwardBatch } from './models/batch.js'
export type { ModelConfig } from './models/config.js'
export { type CreateModelOptions, createModel } from './models/create-model.js'
export type { GenerateInput, GenerateOptions, SamplingOptions } from './models/generate.js'
export type { CausalLM, ForwardOptions, ForwardResult, ModelLicense, ModelOrigin } from './models/model.js'
export type { Quantization } from './nn/module.js'
export type { MemoryInfo } from './tensor/addon.js'
export { Device, type DeviceName, type DeviceOptions } from './tensor/device.js'
export type { ComputeDType, DType } from './tensor/dtype.js'
export { scope } from './tensor/scope.js'
export { Tensor } from './tensor/tensor.js'
export { asTokenizer } from './tokenizer/adapt.js'
export { loadTokenizer, type Tokenizer } from './tokenizer/tokenizer.js'
export { AdamW, type AdamWOptions } from './train/adamw.js'
export { type EvaluateOptions, type Evaluation, evaluateLoss } from './train/evaluate-loss.js'
export type { TrainEvent } from './train/events.js'
export { type OptionProblem, OptionsError } from './train/option-problems.js'
export type { TrainingOptions, TrainLoraOptions } from './train/options.js'
export { type PlanOptions, planTraining, type TrainingPlan } from './train/plan.js'
export { PRESETS, type Preset, type PresetName } from './train/presets.js'
export { type TrainRun, trainLora } from './train/train-lora.js'
