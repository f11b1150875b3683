/** @file The files of a logged model: what was trained as a model directory that MLflow's client loads. */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ModelError } from '../lowrank-error.js'
import type { ArtifactContent } from './artifacts.js'
import { packAdapter, packModel, withIds } from './model-directory.js'

/** A file and its place inside of the logged model. */
interface LoggedFile {
  readonly path: string
  readonly content: ArtifactContent
}

/**
 * The files of a logged model, by the id that the server gives it.
 * @param directory of the adapter or the model
 * @param modelType 'lora' for an adapter
 * @param warn hears why files go along as they are: MLflow's client could not load them
 * @throws what the file system said
 */
export async function loggedModel(
  directory: string,
  modelType: string,
  {
    runId,
    warn,
    signal,
  }: { readonly runId: string; readonly warn: (message: string) => void; readonly signal: AbortSignal | undefined },
): Promise<(modelId: string | undefined) => readonly LoggedFile[]> {
  const pack = modelType === 'lora' ? packAdapter : packModel
  try {
    const packed = await pack(directory, { runId, signal })
    return (modelId) =>
      withIds(packed, { modelId }).files.map(({ path, source }) => ({
        path,
        content: typeof source === 'string' ? { file: source } : { bytes: source },
      }))
  } catch (error) {
    if (!(error instanceof ModelError)) throw error
    const files = await filesIn(directory)
    warn(`[mlflow] the logged model has the files of ${directory} alone, no MLmodel: ${error.message}`)
    return () => files.map((path) => ({ path, content: { file: join(directory, path) } }))
  }
}

/** Files below a directory, with slashes, in their order. */
async function filesIn(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const paths = entries.flatMap((entry) =>
    entry.isFile() ? [join(entry.parentPath, entry.name).slice(directory.length).replaceAll('\\', '/')] : [],
  )
  return paths.map((path) => path.replace(/^\/+/, '')).sort()
}
