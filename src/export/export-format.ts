/**
 * @file What a format of `exportModel` is: one file that exports it, and one line in formats.ts. Knows no format.
 */

import type { LoraAdapter } from '../adapters/lora-adapter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import type { FileDType } from '../checkpoint/save-model.js'
import type { SavedTokenizer } from '../checkpoint/save-tokenizer.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { ExportModelOptions } from './options.js'

/** What is exported, and how. */
export interface ExportJob {
  readonly model: CausalLM
  /** Attached to `model` and active. */
  readonly adapter: LoraAdapter | undefined
  /** New and empty; it takes its final name once all is written. */
  readonly directory: string
  /** The name that `directory` takes. Files that name each other or a model need it. */
  readonly output: string
  /** Dtype of the weights; each format that has one says which. */
  readonly dtype: FileDType
  readonly maxShardSize: number | string
  /** The tokenizer that answers are asked for with, and its chat template. */
  readonly saved: SavedTokenizer
  /** The same, loaded; undefined where there is none. */
  readonly tokenizer: Tokenizer | undefined
  /** All that was asked for; formats read those options here that only they have. */
  readonly options: ExportModelOptions
  readonly signal: AbortSignal | undefined
  /** Takes what the program that opens the files does in another way, a sentence each. */
  readonly warn: (warning: string) => void
  /** Is told how many tokens of the calibration ran through the model, of how many. */
  readonly onCalibrate: ((tokens: number, total: number) => void) | undefined
  /** Is told how many tensors are written, of how many. */
  readonly onTensor: ((tensors: number, total: number) => void) | undefined
}

/** An export that was opened again. */
export type Reopened =
  | {
      /** The whole model is in the file. */
      readonly kind: 'model'
      readonly model: CausalLM
      readonly tokenizer: Tokenizer | undefined
    }
  | {
      /** The file holds an adapter, which is now attached to the base model. */
      readonly kind: 'adapter'
      readonly adapter: LoraAdapter
      readonly tokenizer: Tokenizer | undefined
    }

/** What `reopen` works with. */
export interface ReopenJob {
  /** Where the export lies now. */
  readonly output: string
  /** The base model without the adapter. Only for formats that hold an adapter. */
  readonly base: CausalLM | undefined
  /** What the source computed in, and on which device. */
  readonly source: Pick<CausalLM, 'dtype' | 'device'>
  /** Temporary place for files that are made on the way. */
  readonly scratch: string
}

/** A format that models or adapters are exported in. */
export interface ExportFormat {
  /** As `format` names it. */
  readonly name: string
  /** One line that begins with a noun: what is written. */
  readonly summary: string
  /** Who opens it. */
  readonly opens: string
  /** Whether the files hold the whole model, the adapter folded in, or the adapter alone. */
  readonly holds: 'model' | 'adapter'
  /** Names of those options that only some formats take, as `dtype`. */
  readonly takes: readonly (keyof ExportModelOptions)[]
  /** What of the export is not compared, a sentence; undefined: all is. */
  readonly notCompared?: string
  /** Dtype of what is written where it is not the option `dtype` that says it. */
  dtypeOf?(options: ExportModelOptions): FileDType
  /**
   * Largest difference of a logit that is expected, as a share of the largest logit.
   * @param computed what both models compute in
   */
  tolerance(computed: FileDType, written: FileDType, options: ExportModelOptions): number
  /**
   * Writes the files into `job.directory`.
   * @throws where the format cannot hold something of the model or the adapter, naming it
   */
  write(job: ExportJob): Promise<void>
  /** Opens what was written. */
  reopen(job: ReopenJob): Promise<Reopened>
}
