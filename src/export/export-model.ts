/** @file exportModel: a model, or a model and its adapter, written for another program, opened again and compared. */

import { readdir } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { defaultDType, expectEmptyDirectory } from '../adapters/merge.js'
import { writeDirectoryAtomic } from '../atomic-write.js'
import type { FileDType } from '../checkpoint/save-model.js'
import { OptionError } from '../lowrank-error.js'
import { readOptions } from '../options/table.js'
import { Device } from '../tensor/device.js'
import { type ExportComparison, encodeLines } from './compare.js'
import { defaultLines } from './compare-lines.js'
import type { ExportFormat } from './export-format.js'
import type { ExportFormatName } from './format-names.js'
import { FORMATS } from './formats.js'
import { EXPORT_OPTIONS, type ExportModelOptions } from './options.js'
import { loadSource, loadTokens } from './source.js'
import { verify } from './verify.js'

/** What `exportModel` wrote, and how near it is to its source. */
export interface ExportReport extends ExportComparison {
  readonly format: ExportFormatName
  readonly output: string
  readonly files: readonly string[]
  /** Dtype of the weights in the files. */
  readonly dtype: FileDType
  /** Largest difference of a logit that passes. */
  readonly maxLogitDifference: number
  /** Whether logits and ids are as near as they have to be. */
  readonly passed: boolean
  /** What of the export was not compared, a sentence; null: it was opened as its users open it. */
  readonly notCompared: string | null
  /** What loading said, and what the program that opens the files does in another way, a sentence each. */
  readonly warnings: readonly string[]
}

/**
 * Writes a model, or a model and its adapter, in a format of another program, opens what was written again and compares
 * it with its source.
 * @returns what was written and how near it is; `passed` is false where it is not near enough, and the files stay.
 * @throws OptionError on unknown options and those that the format does not take, ModelError where the format cannot
 * hold something of the model or the adapter, naming it; nothing is left in `output` then.
 */
export async function exportModel(options: ExportModelOptions): Promise<ExportReport> {
  const resolved = readOptions('export', options, EXPORT_OPTIONS)
  const format = FORMATS[resolved.format]
  expectTaken(format, options)
  await expectEmptyDirectory(resolved.output, 'export', 'the files')
  const { signal, onEvent } = resolved
  const device = Device.open(resolved.device)
  try {
    signal?.throwIfAborted()
    const written = format.holds === 'model' ? (format.dtypeOf?.(options) ?? resolved.dtype) : undefined
    const { model, adapter } = await loadSource({ ...resolved, written }, device)
    const { saved, tokenizer } = await loadTokens(model, adapter)
    const given = written ?? defaultDType(model)
    const dtype = format.holds === 'adapter' ? 'float32' : given
    const warnings = [...model.warnings, ...(adapter?.warnings ?? [])]
    const asked = encodeLines(model, tokenizer, resolved.lines ?? defaultLines(), resolved.compareTokens)
    const output = resolve(resolved.output)
    await writeDirectoryAtomic(output, async (directory) => {
      await format.write({
        ...{ model, adapter, directory, output, dtype, saved, tokenizer, options, signal },
        maxShardSize: resolved.maxShardSize,
        warn: (warning) => warnings.push(warning),
        onCalibrate: (tokens, total) => onEvent?.({ type: 'calibrate', tokens, total }),
        onTensor: (tensors, total) => onEvent?.({ type: 'write', tensors, total }),
      })
      signal?.throwIfAborted()
    })
    const computed = model.dtype
    const release = () => {
      adapter?.dispose()
      if (format.holds === 'adapter') return model
      model.dispose()
      return undefined
    }
    const reopen = format.reopen.bind(format)
    const found = await verify({ asked, device, computed, signal, onEvent }, model, release, output, reopen)
    const maxLogitDifference =
      resolved.maxLogitDifference ?? format.tolerance(computed, dtype, options) * found.largestLogit
    return {
      ...{ format: resolved.format, output, files: await filesOf(output), dtype, ...found, maxLogitDifference },
      passed: found.logitDifference <= maxLogitDifference && found.differentLines === 0,
      notCompared: format.notCompared ?? null,
      warnings,
    }
  } finally {
    device.close()
  }
}

/** Options that only some formats take. */
const SPECIAL = ['dtype', 'maxShardSize', 'type', 'calibration'] as const

/** @throws on options that the format does not take, and on a missing adapter */
function expectTaken(format: ExportFormat, options: ExportModelOptions): void {
  for (const name of SPECIAL) {
    if (options[name] === undefined || format.takes.includes(name)) continue
    throw new OptionError(`[export] expected no ${name} for format '${format.name}', got one; leave it out`)
  }
  if (format.holds === 'adapter' && options.adapter === undefined)
    throw new OptionError(
      `[export] expected an adapter for format '${format.name}', which holds one, got none; give the directory of one`,
    )
}

/** The files in a directory and below, sorted. */
async function filesOf(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .sort()
}
