/** @file The options of `exportModel`. Loads nothing of the engine. */

import type { FileDType } from '../checkpoint/save-model.js'
import { MAX_SHARD_SIZE } from '../checkpoint/shard-size.js'
import { DTYPES, MODEL_OPTIONS } from '../nn/model-options.js'
import type { Quantization } from '../nn/module.js'
import { callback, integer, listOf, number, oneOf, path, text } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import type { OptionTable } from '../options/table.js'
import { DEVICE, type DeviceName } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import type { ExportEvent } from './events.js'
import { type ExportFormatName, FORMAT_NAMES } from './format-names.js'
import { FILE_TYPE_NAMES, type GgufFileType } from './gguf-file-types.js'

/** Options of the comparison of an export with its source. */
export interface CompareOptions {
  /**
   * Where logits are computed.
   * @default 'cpu'
   */
  device?: DeviceName
  /**
   * What logits are computed in.
   * @default one that holds every weight exactly: 'bfloat16' where all have it and with nf4, else 'float32'
   */
  computeDtype?: ComputeDType
  /**
   * Lines that source and export are compared on.
   * @default 200 lines of several scripts, numbers and code, always the same
   */
  lines?: readonly string[]
  /**
   * Tokens of the lines whose logits are compared.
   * @default 512
   */
  compareTokens?: number
  /**
   * Largest difference of a logit; above it `passed` of the report is false.
   * @default a share of the largest logit that rounding to the dtype explains
   */
  maxLogitDifference?: number
  /**
   * Ends the work; nothing is left in `output`.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Is told how far it is.
   * @default none
   */
  onEvent?: (event: ExportEvent) => void
}

/** Options of `exportModel`. */
export interface ExportModelOptions extends CompareOptions {
  /**
   * Directory, GGUF file, Hub id or `uc://` address of the model.
   * @default the one that the adapter names
   */
  model?: string
  /**
   * Branch, tag or commit of a model of the Hub.
   * @default 'main'; for the model that the adapter names, the commit that it names
   */
  revision?: string
  /**
   * Directory of a LoRA adapter in PEFT's or mlx-lm's files, an adapter's GGUF file, or a `uc://` address.
   * @default none: the model alone is exported
   */
  adapter?: string
  /** What is written. */
  format: ExportFormatName
  /** New or empty directory for the files; it appears with all of them or not at all. */
  output: string
  /**
   * Dtype of a model's weights in the files.
   * @default that of config.json where it has 16 bits, 'bfloat16' for float32
   */
  dtype?: FileDType
  /**
   * Largest size of one file of weights, in bytes or like '5GB' (10^9 bytes) or '500MiB' (2^20 bytes).
   * @default '5GB'
   */
  maxShardSize?: number | string
  /**
   * How a GGUF file holds the matrices. Those in "K" are mixes of several formats.
   * @default 'F16'
   */
  type?: GgufFileType
  /**
   * Texts for an importance matrix of a GGUF file: what the columns of each matrix are multiplied by there says how
   * much an error in each counts. For the types in "K".
   * @default none: all columns count alike
   */
  calibration?: readonly string[]
  /**
   * 'nf4': the model's weights are rounded to 4 bits first, as QLoRA trained on them, and then decoded.
   * @default what the checkpoint has
   */
  quantization?: Quantization
}

/** The options of the comparison, which `convertAdapter` has too. */
export const COMPARE_OPTIONS = {
  device: { ...DEVICE, help: 'where logits are computed' },
  computeDtype: {
    ...MODEL_OPTIONS.dtype,
    otherwise: 'one that holds every weight exactly: bfloat16 where all have it and with nf4, else float32',
    help: 'what logits are computed in: float32, bfloat16 or float16',
  },
  lines: {
    rule: listOf(text, 'lines that are not empty', { minItems: 1 }),
    otherwise: '200 lines of several scripts, numbers and code, always the same',
    help: 'lines that source and export are compared on',
  },
  compareTokens: {
    rule: integer({ min: 1 }),
    default: 512,
    help: 'tokens of the lines whose logits are compared',
    flag: { name: '--compare-tokens', argument: 'count' },
  },
  maxLogitDifference: {
    rule: number({ min: 0 }),
    otherwise: 'a share of the largest logit that rounding to the dtype explains',
    help: 'largest difference of a logit; above it the export has not passed',
    flag: { name: '--max-logit-difference', argument: 'number' },
  },
  signal: { ...SIGNAL, help: 'ends the work; nothing is left in output' },
  onEvent: { rule: callback, otherwise: 'none', help: 'is told how far it is' },
} as const satisfies OptionTable<CompareOptions>

/** Which model, for `checkLoaders` too. */
export const NAMED_MODEL = {
  model: {
    rule: text,
    otherwise: 'the one that the adapter names',
    help: 'directory, GGUF file, Hub id or uc:// address of the model',
  },
  revision: {
    rule: text,
    otherwise: 'main; for the model that the adapter names, the commit that it names',
    help: 'branch, tag or commit of a model of the Hub',
  },
} as const satisfies OptionTable<Pick<ExportModelOptions, 'model' | 'revision'>>

/** The options of `exportModel`. */
export const EXPORT_OPTIONS = {
  ...NAMED_MODEL,
  adapter: {
    rule: text,
    otherwise: 'none, the model alone is exported',
    help: "directory of a LoRA adapter in PEFT's or mlx-lm's files, an adapter's GGUF file, or its uc:// address",
  },
  format: { rule: oneOf(FORMAT_NAMES), isRequired: true, help: 'what is written' },
  output: { rule: path, isRequired: true, help: 'new or empty directory for the files' },
  dtype: {
    rule: DTYPES,
    otherwise: 'that of config.json where it has 16 bits, bfloat16 for float32',
    help: "dtype of a model's weights in the files",
  },
  maxShardSize: MAX_SHARD_SIZE,
  type: { rule: oneOf(FILE_TYPE_NAMES), otherwise: 'F16', help: 'how a GGUF file holds the matrices' },
  calibration: {
    rule: listOf(text, 'texts that are not empty', { minItems: 1 }),
    otherwise: 'none, all columns count alike',
    help: 'texts for an importance matrix of a GGUF file',
  },
  quantization: {
    ...MODEL_OPTIONS.quantization,
    help: "nf4: the model's weights are rounded to 4 bits first, as QLoRA trained on them, and then decoded",
  },
  ...COMPARE_OPTIONS,
} as const satisfies OptionTable<ExportModelOptions>
