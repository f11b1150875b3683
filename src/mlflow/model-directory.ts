/**
 * @file What MLflow calls a model: a directory with an MLmodel file that its Python client, its server and Databricks
 * load. Packs an adapter or a whole model as one, in memory but for the weights, which stay where they are. Knows no
 * server; who sends the files is in callback.ts and src/databricks.
 */

import { expectPath } from '../errors.js'
import { type Resolved, readOptions } from '../options/table.js'
import { adapterParts } from './model/adapter-parts.js'
import { environmentFiles } from './model/environment.js'
import { byPath, bytesFile, expectNoSecrets, hashOf, type ModelFile, readModelFiles } from './model/files.js'
import { exampleFiles, MLMODEL_FILE, mlmodelOf, mlmodelText } from './model/mlmodel.js'
import { modelParts } from './model/model-parts.js'
import { PACK_OPTIONS, type PackOptions } from './model/pack-options.js'
import type { PackedParts } from './model/parts.js'

export type { ModelFile } from './model/files.js'
export type { PackOptions } from './model/pack-options.js'

/** A model directory that is ready to be sent or written. */
export interface ModelDirectory {
  /** In the order of their paths. */
  readonly files: readonly ModelFile[]
  /**
   * SHA-256 in hexadecimal over path, size and content of all files. The same adapter with the same options has the
   * same one: run id, model id, time, and lowrank's version are left out.
   */
  readonly hash: string
  /** What the file MLmodel says. */
  readonly mlmodel: object
  /** Bytes of all files. */
  readonly totalBytes: number
  /** What is worth a look, a sentence each, as settings that were changed after training. */
  readonly warnings: readonly string[]
}

/**
 * The model directory of a LoRA adapter that lowrank or PEFT saved: `peft/` with the adapter, which MLflow puts on its
 * base model. A base of the Hub is named with its commit, and loaded from there with its tokenizer; one of a path is
 * named by the path, which `mlflow.transformers.load_model(..., base_model_path=...)` replaces, and its tokenizer goes
 * along in `components/tokenizer`.
 * @throws ModelError for a directory that is no adapter, is damaged, or has features of PEFT that are not supported,
 * naming them, where nothing says which base, and where settings, card or example hold a token; OptionError
 */
export async function packAdapter(directory: string, options: PackOptions = {}): Promise<ModelDirectory> {
  expectPath('pack', 'directory', directory)
  const read = readOptions('pack', options, PACK_OPTIONS)
  return await pack(await adapterParts(directory, read), read)
}

/**
 * The model directory of a whole model, as `merge` and `saveModel` write it: `model/` with its weights and
 * `components/tokenizer`.
 * @throws ModelError for a directory without weights, configuration or tokenizer, and for weights in NF4; OptionError
 */
export async function packModel(directory: string, options: PackOptions = {}): Promise<ModelDirectory> {
  expectPath('pack', 'directory', directory)
  const read = readOptions('pack', options, PACK_OPTIONS)
  return await pack(await modelParts(directory, read), read)
}

/** The same model with other ids in MLmodel: a server names a logged model after its files are known. */
export function withIds(
  model: ModelDirectory,
  { runId, modelId }: Pick<PackOptions, 'runId' | 'modelId'>,
): ModelDirectory {
  const mlmodel = {
    ...model.mlmodel,
    ...(runId !== undefined && { run_id: runId }),
    ...(modelId !== undefined && { model_id: modelId }),
  }
  const others = model.files.filter(({ path }) => path !== MLMODEL_FILE)
  const files = [...others, bytesFile(MLMODEL_FILE, mlmodelText(mlmodel))].sort(byPath)
  return { ...model, files, mlmodel, totalBytes: bytesOf(files) }
}

async function pack(
  { flavor, facts, sources, needsPeft, warnings }: PackedParts,
  { runId, modelId, task, inputExample, signal }: Resolved<PackOptions, typeof PACK_OPTIONS>,
): Promise<ModelDirectory> {
  const texts = { ...environmentFiles(needsPeft), ...exampleFiles(task, inputExample) }
  const written = Object.entries(texts).map(([path, text]) => bytesFile(path, text))
  const others = [...(await readModelFiles(sources, signal)), ...written]
  const parts = { task, flavor, facts, size: bytesOf(others) }
  const hash = hashOf([...others, bytesFile(MLMODEL_FILE, mlmodelText(mlmodelOf(parts)))])
  const mlmodel = mlmodelOf(parts, { hash, runId, modelId, createdAt: new Date() })
  const files = [...others, bytesFile(MLMODEL_FILE, mlmodelText(mlmodel))].sort(byPath)
  await expectNoSecrets(files)
  return { files, hash, mlmodel, totalBytes: bytesOf(files), warnings }
}

function bytesOf(files: readonly ModelFile[]): number {
  return files.reduce((sum, { size }) => sum + size, 0)
}
