/** @file `lowrank export`: a model or an adapter in files of another program. What it does is in export-files.ts. */

import type { FileDType } from '../checkpoint/save-model.js'
import { MAX_SHARD_SIZE } from '../checkpoint/shard-size.js'
import { type ExportFormatName, FORMAT_NAMES } from '../export/format-names.js'
import { FILE_TYPE_NAMES, type GgufFileType } from '../export/gguf-file-types.js'
import { EXPORT_OPTIONS } from '../export/options.js'
import { LOADER_LIST, LOADER_NAMES, type LoaderName } from '../loaders/loader-names.js'
import type { Quantization } from '../nn/module.js'
import { oneOf, text, textOf } from '../options/rules.js'
import type { DeviceName } from '../tensor/device.js'
import type { Command } from './command.js'
import { ADAPTER, HOLDING_FLAGS, JSON_OBJECT, MODEL_FLAGS } from './flags.js'
import { UsageError } from './usage-error.js'

/** Flags of the comparison with the source, which `lowrank convert` has too. */
export interface CompareFlags {
  readonly device?: DeviceName
  readonly lines?: string
  readonly compareTokens: number
  readonly maxLogitDifference?: number
  readonly json?: boolean
}

interface ExportFlags extends CompareFlags {
  readonly adapter?: string
  readonly format?: ExportFormatName
  readonly output?: string
  readonly check?: readonly LoaderName[]
  readonly revision?: string
  readonly dtype?: FileDType
  readonly quantization?: Quantization
  readonly maxShardSize?: string
  readonly type?: GgufFileType
  readonly calibration?: string
}

/** What is exported, and how. */
export interface ExportAsked extends ExportFlags {
  readonly model: string | undefined
}

export const COMPARE_FLAGS = {
  device: { ...HOLDING_FLAGS.device, flag: { ...HOLDING_FLAGS.device.flag, group: 'The comparison with the source' } },
  lines: {
    rule: text,
    otherwise: '200 lines of several scripts, numbers and code',
    help: 'text file whose lines source and export are compared on',
    flag: { name: '--lines', argument: 'file' },
  },
  compareTokens: EXPORT_OPTIONS.compareTokens,
  maxLogitDifference: {
    ...EXPORT_OPTIONS.maxLogitDifference,
    help: 'largest difference of a logit; above it the command fails with exit code 1',
  },
  json: JSON_OBJECT,
} as const

export const command: Command<ExportFlags, ExportAsked> = {
  summary: 'write a model or an adapter for another program, open it again and compare',
  details:
    'What was written is opened again and compared with its source: ids of 200 lines, logits, and the first token that would differ.',
  arguments: [{ name: 'MODEL', help: MODEL_FLAGS.model.help, otherwise: 'the one that the adapter names' }],
  flags: {
    format: {
      rule: oneOf(FORMAT_NAMES),
      otherwise: 'none, only --check',
      help: `what is written: ${FORMAT_NAMES.join(', ')}`,
      flag: { name: '--format', argument: 'name', group: 'What goes where' },
    },
    output: {
      rule: text,
      help: 'new or empty directory for the files',
      flag: { name: '--output', argument: 'dir' },
    },
    adapter: ADAPTER,
    check: {
      rule: LOADER_LIST,
      otherwise: 'none',
      help: `say first what these programs refuse: ${LOADER_NAMES.join(', ')}`,
      flag: { name: '--check', argument: 'names', choices: LOADER_NAMES },
    },
    revision: { ...MODEL_FLAGS.revision, flag: { ...MODEL_FLAGS.revision.flag, group: 'The model' } },
    quantization: { ...HOLDING_FLAGS.quantization, help: EXPORT_OPTIONS.quantization.help },
    dtype: {
      ...EXPORT_OPTIONS.dtype,
      help: "of a model's weights in the files: bfloat16, float16 or float32",
      flag: { name: '--dtype', argument: 'type' },
    },
    maxShardSize: {
      rule: {
        ...textOf('a size with its unit, as 5GB,'),
        accepts: (size) => typeof size === 'string' && MAX_SHARD_SIZE.rule.accepts(size),
      },
      otherwise: MAX_SHARD_SIZE.default,
      help: MAX_SHARD_SIZE.flag.help,
      flag: MAX_SHARD_SIZE.flag,
    },
    type: {
      ...EXPORT_OPTIONS.type,
      flag: { name: '--type', argument: 'type', choices: FILE_TYPE_NAMES },
    },
    calibration: {
      rule: text,
      otherwise: EXPORT_OPTIONS.calibration.otherwise,
      help: 'text file whose lines say which columns of a GGUF file in "K" matter (importance matrix)',
      flag: { name: '--calibration', argument: 'file' },
    },
    ...COMPARE_FLAGS,
  },
  instead: (flag) => (flag === 'model' ? 'the model as MODEL, without a flag' : undefined),
  examples: [
    {
      text: 'Merge an adapter into its model, for vLLM, TGI or transformers',
      line: 'export --adapter out/mine/adapter --format merged --output merged',
    },
    {
      text: 'Say what vLLM and llama.cpp would refuse of an adapter',
      line: 'export --adapter out/mine/adapter --check vllm,llama.cpp',
    },
    {
      text: 'Write the merged model for llama.cpp, in about 5 bits',
      line: 'export --adapter out/adapter --format gguf --type Q4_K_M --output x',
    },
    {
      text: 'Write a folder for Ollama',
      line: 'export --adapter out/adapter --format ollama --output mine',
    },
    {
      text: 'Write an adapter for mlx-lm',
      line: 'export --adapter out/adapter --format mlx-adapter --output mlx',
    },
  ],
  check({ flags, words: [model] }) {
    const { format, output, adapter, check } = flags
    if (model === undefined && adapter === undefined)
      throw new UsageError('[export] expected MODEL, or --adapter DIR, which names it; got neither')
    if (format === undefined && check === undefined)
      throw new UsageError(
        `[export] expected --format NAME or --check NAMES, got neither; formats are ${FORMAT_NAMES.join(', ')}`,
      )
    if ((format === undefined) !== (output === undefined))
      throw new UsageError(
        `[export] expected --format NAME and --output DIR together, got ${format === undefined ? '--output' : '--format'} alone`,
      )
    return { ...flags, model }
  },
  async run(checked) {
    const { exportFiles } = await import('./export-files.js')
    await exportFiles(checked)
  },
}
