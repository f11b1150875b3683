/**
 * @file An adapter and its base model as one model directory that a server can load by itself. The merged model lies in
 * a folder that is removed again, since it is as large as the base.
 */

import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { LoraAdapter } from '../adapters/lora-adapter.js'
import type { MergeReport } from '../adapters/merge.js'
import { mergeDType } from '../adapters/merge-dtype.js'
import { readPeftConfig } from '../adapters/peft-config.js'
import { cacheDirectory } from '../cache-directory.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { type ModelLocation, resolveModel } from '../checkpoint/resolve-model.js'
import { expectPath } from '../errors.js'
import { OWNER_PATTERN, ownedName, ownerState } from '../file-owner.js'
import { isGgufPath } from '../gguf/reader.js'
import { ModelError } from '../lowrank-error.js'
import { readOptions } from '../options/table.js'
import { MERGED_MODEL_OPTIONS, type MergedModelOptions } from './merged-options.js'
import { expectBaseModel } from './model/adapter-parts.js'
import { expectChatTemplate, LICENSE_FILE, licenseText, tokenizerSources } from './model/parts.js'
import type { PackTask } from './model/signature.js'
import { type ModelDirectory, packModel } from './model-directory.js'

/** A merged model while it is there. */
export interface MergedModel {
  /** Its files, which lie on the disk until the function that got it has ended. */
  readonly model: ModelDirectory
  /** What merging did, and how far it moved the logits. */
  readonly merge: MergeReport
}

/**
 * Merges an adapter into its base model and packs the sum, for servers that cannot put an adapter on a base, as
 * Databricks' serving. The base is fetched from the Hub where the cache lacks it.
 * @param directory of the adapter
 * @param use gets the merged model, whose files are removed once it has ended
 * @returns what `use` returned
 * @throws what `loadModel`, `LoraAdapter.load` and `merge` throw
 */
export async function withMergedModel<Result>(
  directory: string,
  options: MergedModelOptions,
  use: (merged: MergedModel) => Promise<Result>,
): Promise<Result> {
  expectPath('pack', 'directory', directory)
  const read = readOptions('pack', options, MERGED_MODEL_OPTIONS)
  const { signal } = read
  const config = await readPeftConfig(directory)
  const baseModel = expectBaseModel(directory, read.baseModel ?? config.baseModel)
  const revision = read.baseRevision ?? (baseModel === config.baseModel ? config.revision : undefined)
  const parent = read.temporaryDirectory ?? join(cacheDirectory(), 'merged')
  await mkdir(parent, { recursive: true })
  await removeEnded(parent)
  const folder = join(parent, ownedName(PREFIX))
  try {
    await mkdir(folder)
    const { token, cacheDir, localFilesOnly, onEvent } = read
    const location = await resolveModel(baseModel, { revision, token, cacheDir, localFilesOnly, signal, onEvent })
    // Merging takes long: what packing needs is looked for before.
    await expectTokenizer(directory, location.path, read.task)
    const merge = await mergeInto(folder, directory, location, read)
    await addLicense(folder, baseModel, location)
    const { runId, modelId, inputExample, task } = read
    const facts = {
      baseModel,
      ...(location.origin.revision !== undefined && { baseRevision: location.origin.revision }),
    }
    const model = await packModel(folder, { runId, modelId, inputExample, task, ...facts, signal })
    return await use({ model, merge })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function mergeInto(
  folder: string,
  directory: string,
  location: ModelLocation,
  { device, quantization, dtype, maxShardSize, signal, onProgress }: MergedModelOptions,
): Promise<MergeReport> {
  const computed = await mergeDType(location.path, dtype, quantization)
  const model = await beginLoading(location, { device, quantization, dtype: computed, signal })
  try {
    const adapter = await LoraAdapter.load(model, directory)
    return await adapter.merge(folder, { dtype, maxShardSize, signal, onProgress })
  } finally {
    model.dispose()
  }
}

/** @throws unless what is merged will have a tokenizer, and for conversations a chat template */
async function expectTokenizer(directory: string, basePath: string, task: PackTask): Promise<void> {
  const own = await tokenizerSources(directory)
  // The tokenizer of a GGUF file is made when it is written.
  if (own.length === 0 && isGgufPath(basePath)) return
  const sources = own.length > 0 ? own : await tokenizerSources(basePath)
  if (sources.length === 0)
    throw new ModelError(
      `[pack] expected a tokenizer in ${basePath} or beside the adapter in ${directory}, got none; save it there with the model`,
    )
  await expectChatTemplate(task, sources)
}

/** The terms of the base go on with what is made from it. */
async function addLicense(folder: string, baseModel: string, { path, origin }: ModelLocation): Promise<void> {
  const names = isGgufPath(path) ? [] : (await readdir(path)).filter((name) => LICENSE_FILE.test(name))
  for (const name of names) await copyFile(join(path, name), join(folder, name))
  const { id, name, link } = origin.license ?? {}
  if (names.length === 0) await writeFile(join(folder, 'LICENSE.txt'), licenseText(baseModel, [id, name, link]))
}

const PREFIX = 'model-'
const NAME = new RegExp(`^${PREFIX}${OWNER_PATTERN}$`)

/** Removes what processes left that were killed. */
async function removeEnded(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const [, place, pid, ticks] = NAME.exec(name) ?? []
    if (place !== undefined && ownerState(place, Number(pid), Number(ticks)) === 'ended')
      await rm(join(parent, name), { recursive: true, force: true })
  }
}
