/**
 * @file Model checkpoints as Hugging Face lays them out: one safetensors file, or several with an index. Weights only;
 * see load-model.ts.
 */

import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type FileToWrite, writeError, writeFilesAtomic } from '../atomic-write.js'
import { describeValue, listNames } from '../errors.js'
import { INDEX_FILE, isShardName, SINGLE_FILE } from '../hub/model-files.js'
import { ModelError } from '../lowrank-error.js'
import { readDirectory } from '../regular-file.js'
import {
  readSafetensorsHeader,
  safetensorsContent,
  type TensorEntry,
  type TensorToWrite,
  tensorByteLength,
} from '../weights/safetensors.js'
import { isJsonObject, readJsonObject } from '../weights/strict-json.js'
import { MAX_SHARD_SIZE, parseShardSize } from './shard-size.js'

/** A checkpoint whose headers are read and checked; no weight is read yet. */
export interface Checkpoint {
  directory: string
  tensors: Map<string, TensorEntry>
}

/** Options of `writeCheckpoint`. */
export interface WriteCheckpointOptions {
  /** Largest size of one file, as bytes or like '5GB' (10^9 bytes) or '500MiB' (2^20 bytes). Default '5GB'. */
  maxShardSize?: number | string
  /** Default `{ format: 'pt' }`, which other loaders ask for. */
  metadata?: Readonly<Record<string, string>>
}

interface SizedTensor {
  tensor: TensorToWrite
  byteLength: number
}

const SHARD = /^model-\d{5,}-of-\d{5,}\.safetensors$/
/** Reads what tensors the checkpoint in `directory` holds. @throws naming what is missing or damaged, and the remedy */
export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  const path = resolve(directory)
  const files = await readDirectory('checkpoint', path)
  // The single file goes first, as in transformers, where both are there.
  if (files.includes(SINGLE_FILE)) {
    return { directory: path, tensors: (await readSafetensorsHeader(join(path, SINGLE_FILE))).tensors }
  }
  if (files.includes(INDEX_FILE)) return { directory: path, tensors: await readShards(path, files) }
  throw noWeights(path, files)
}

/**
 * Writes weights into `directory`: `model.safetensors`, or shards and their index where `maxShardSize` asks for it.
 * Nothing takes its final name before everything is written; weights of an earlier save are then removed. Other files
 * are left alone.
 * @returns the names of the files
 */
export async function writeCheckpoint(
  directory: string,
  tensors: Iterable<TensorToWrite>,
  options: WriteCheckpointOptions = {},
): Promise<string[]> {
  const { maxShardSize = MAX_SHARD_SIZE.default, metadata = { format: 'pt' } } = options
  const shards = splitIntoShards(tensors, parseShardSize(maxShardSize))
  const count = String(shards.length).padStart(5, '0')
  const weightMap: Record<string, string> = {}
  const files: FileToWrite[] = []
  const names: string[] = []
  let totalSize = 0
  for (const [index, shard] of shards.entries()) {
    const name =
      shards.length === 1 ? SINGLE_FILE : `model-${String(index + 1).padStart(5, '0')}-of-${count}.safetensors`
    for (const { tensor, byteLength } of shard) {
      if (Object.hasOwn(weightMap, tensor.name)) {
        throw new ModelError(`[checkpoint] expected each tensor once, got ${describeValue(tensor.name)} twice`)
      }
      weightMap[tensor.name] = name
      totalSize += byteLength
    }
    const path = join(directory, name)
    const content = safetensorsContent(
      path,
      shard.map(({ tensor }) => tensor),
      metadata,
    )
    names.push(name)
    files.push({ path, content })
  }
  if (shards.length > 1) {
    const sorted = Object.fromEntries(Object.entries(weightMap).sort(([a], [b]) => (a < b ? -1 : 1)))
    const index = { metadata: { total_size: totalSize }, weight_map: sorted }
    names.push(INDEX_FILE)
    files.push({ path: join(directory, INDEX_FILE), content: `${JSON.stringify(index, null, 2)}\n` })
  }
  await writeFilesAtomic(files)
  for (const name of await readDirectory('checkpoint', directory)) {
    const isWeights = name === SINGLE_FILE || name === INDEX_FILE || SHARD.test(name)
    if (!isWeights || names.includes(name)) continue
    const old = join(directory, name)
    await rm(old).catch((error: unknown) => {
      throw writeError(old, error)
    })
  }
  return names
}

async function readShards(directory: string, files: readonly string[]): Promise<Map<string, TensorEntry>> {
  const indexPath = join(directory, INDEX_FILE)
  const { weight_map: weightMap } = await readJsonObject('checkpoint', indexPath)
  if (!isJsonObject(weightMap) || Object.keys(weightMap).length === 0) {
    throw new ModelError(
      `[checkpoint] expected "weight_map" in ${indexPath} to name a file for each tensor; download it again`,
    )
  }
  const shards = new Set<string>()
  for (const [name, file] of Object.entries(weightMap)) {
    if (!isShardName(file)) {
      throw new ModelError(
        `[checkpoint] ${indexPath}: expected the name of a .safetensors file beside the index for tensor ${describeValue(name)}, ` +
          `got ${describeValue(file)}; get the checkpoint from a source that you trust`,
      )
    }
    shards.add(file)
  }
  const missing = [...shards].filter((file) => !files.includes(file)).sort()
  if (missing.length > 0) {
    throw new ModelError(
      `[checkpoint] ${missing.length} of ${shards.size} weight files of ${INDEX_FILE} are missing in ${directory}: ${listNames(missing)}; ` +
        'download them into this directory',
    )
  }
  const tensors = new Map<string, TensorEntry>()
  for (const file of [...shards].sort()) {
    const header = await readSafetensorsHeader(join(directory, file))
    for (const [name, entry] of header.tensors) {
      const listed = Object.hasOwn(weightMap, name) ? weightMap[name] : undefined
      // A copy in a file that the index does not mean for it. Where the index is silent, one copy is taken and two are
      // an error.
      if (listed !== undefined && listed !== file) continue
      if (tensors.has(name)) {
        throw new ModelError(
          `[checkpoint] tensor ${describeValue(name)} is in two files of ${directory} and not in the index`,
        )
      }
      tensors.set(name, entry)
    }
  }
  const absent = Object.keys(weightMap).filter((name) => !tensors.has(name))
  if (absent.length > 0) {
    throw new ModelError(
      `[checkpoint] ${absent.length} tensors of ${indexPath} are not in the files it names: ` +
        `${listNames(absent.map((name) => `${name} (${weightMap[name]})`))}; download the checkpoint again`,
    )
  }
  return tensors
}

function noWeights(directory: string, files: readonly string[]): Error {
  const has = (pattern: RegExp) => files.find((file) => pattern.test(file))
  const pickled = has(/^pytorch_model.*\.bin/)
  const adapter = has(/^adapter_model\./)
  const gguf = has(/\.gguf$/)
  const other = has(/\.safetensors$/)
  const problem = pickled
    ? `holds ${pickled}, which is Python pickle; most models on the Hub have safetensors as well ` +
      '(hf download ID --include "*.safetensors"), else convert it with save_pretrained() of transformers'
    : adapter
      ? `holds an adapter (${adapter}), not a model; load its base model, then the adapter with LoraAdapter.load(model, directory)`
      : gguf
        ? `holds ${gguf}, which is a model by itself: give the path of that file`
        : other
          ? `holds ${other}, but no ${SINGLE_FILE} and no ${INDEX_FILE}; download the missing file, or rename the file to ${SINGLE_FILE}`
          : `holds no ${SINGLE_FILE} and no ${INDEX_FILE}, only: ${listNames(files) || 'nothing'}; download the weights into it`
  return new ModelError(`[checkpoint] ${directory} ${problem}`)
}

/**
 * In the order given, so that neighbours in the model are neighbours on disk; a larger tensor has a file of its own.
 */
function splitIntoShards(tensors: Iterable<TensorToWrite>, limit: number): SizedTensor[][] {
  const shards: SizedTensor[][] = [[]]
  let size = 0
  for (const tensor of tensors) {
    const byteLength = tensorByteLength(tensor.dtype, tensor.shape, (problem) => {
      return new ModelError(`[checkpoint] cannot write tensor ${describeValue(tensor.name)}: it ${problem}`)
    })
    const current = shards[shards.length - 1]!
    if (current.length > 0 && size + byteLength > limit) {
      shards.push([{ tensor, byteLength }])
      size = byteLength
    } else {
      current.push({ tensor, byteLength })
      size += byteLength
    }
  }
  return shards
}
