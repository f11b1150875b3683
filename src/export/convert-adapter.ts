/** @file convertAdapter: an adapter in PEFT's, mlx-lm's or llama.cpp's files becomes one in another of these. */

import { OptionError } from '../lowrank-error.js'
import { oneOf, textOf } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { adapterKind } from './adapter-kinds.js'
import { type ExportReport, exportModel } from './export-model.js'
import { ADAPTER_KINDS, type AdapterKind, type ExportFormatName } from './format-names.js'
import { COMPARE_OPTIONS, type CompareOptions, EXPORT_OPTIONS, type ExportModelOptions } from './options.js'

/** Options of `convertAdapter`. */
export interface ConvertAdapterOptions
  extends CompareOptions,
    Pick<ExportModelOptions, 'model' | 'revision' | 'output'> {
  /** Directory of an adapter in PEFT's or mlx-lm's files, or an adapter's GGUF file. */
  adapter: string
  /** What it becomes. */
  to: AdapterKind
}

/** The options of `convertAdapter`. */
export const CONVERT_OPTIONS = {
  adapter: {
    rule: textOf('a directory or a .gguf file'),
    isRequired: true,
    help: "directory of an adapter in PEFT's or mlx-lm's files, or an adapter's GGUF file",
  },
  to: { rule: oneOf(ADAPTER_KINDS), isRequired: true, help: 'what it becomes' },
  output: EXPORT_OPTIONS.output,
  model: EXPORT_OPTIONS.model,
  revision: EXPORT_OPTIONS.revision,
  ...COMPARE_OPTIONS,
} as const satisfies OptionTable<ConvertAdapterOptions>

const FORMAT_OF = { peft: 'peft', gguf: 'gguf-adapter', mlx: 'mlx-adapter' } as const satisfies Readonly<
  Record<AdapterKind, ExportFormatName>
>

/**
 * Converts an adapter, and compares the logits of its model with the adapter before and after.
 * @throws as `exportModel`, and where the adapter is of that kind already
 */
export async function convertAdapter(options: ConvertAdapterOptions): Promise<ExportReport> {
  const { to, adapter, ...others } = readOptions('convert', options, CONVERT_OPTIONS)
  const kind = await adapterKind(adapter)
  if (kind === to)
    throw new OptionError(
      `[convert] expected another format than that of the adapter, got '${to}', which ${adapter} has`,
    )
  const given = Object.fromEntries(Object.entries(others).filter(([, value]) => value !== undefined))
  return await exportModel({ ...given, output: others.output, adapter, format: FORMAT_OF[to] })
}
