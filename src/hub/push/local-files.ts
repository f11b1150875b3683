/** @file Which files of a directory belong to what is pushed: never more than others need, and nothing by chance. */

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { LowrankError, OptionError } from '../../lowrank-error.js'
import { CARD_FILE, INDEX_FILE, SMALL_FILES } from '../model-files.js'

/** A file that is there. */
export interface LocalFile {
  /** In the repository. */
  readonly path: string
  /** On this machine. */
  readonly from: string
  readonly size: number
}

/** What a directory holds. */
export interface LocalFiles {
  readonly kind: 'adapter' | 'model'
  /** The directory of the adapter or the model itself. */
  readonly directory: string
  readonly files: readonly LocalFile[]
}

const ADAPTER_CONFIG = 'adapter_config.json'
const MODEL_CONFIG = 'config.json'
const TEMPLATES = 'additional_chat_templates'
/** What a run and its evaluation wrote about themselves; train.yaml names paths of the machine and stays there. */
const RECORDS = ['log.jsonl', 'trainer_state.json', 'behaviour.json']
const WEIGHTS = { adapter: /^adapter_model\.safetensors$/, model: /^model(?:-\d{5}-of-\d{5})?\.safetensors$/ }

/**
 * The files of an adapter, of a model, or of what a run has trained: its `adapter` or `model`, and the record of the
 * run.
 * @param include more files of the directory, which have to be there
 * @throws LowrankError where the directory holds neither
 */
export async function localFiles(directory: string, include: readonly string[] = []): Promise<LocalFiles> {
  const kind = await kindOf(directory)
  if (kind !== undefined) {
    const own = [...(await filesOf(directory, kind)), ...(await there(directory, RECORDS))]
    return { kind, directory, files: merged(own, await included(directory, include)) }
  }
  for (const below of ['adapter', 'model'] as const) {
    const inner = join(directory, below)
    const innerKind = await kindOf(inner)
    if (innerKind === undefined) continue
    const own = [...(await filesOf(inner, innerKind)), ...(await there(directory, RECORDS))]
    return { kind: innerKind, directory: inner, files: merged(own, await included(directory, include)) }
  }
  throw new LowrankError(
    'FILE',
    `[push] expected the directory of an adapter (${ADAPTER_CONFIG}), of a model (${MODEL_CONFIG}) or of a run that is complete, got ${directory}, which has none of them; check the path`,
  )
}

/** Every file of a checkpoint, the state of its optimizer among them. */
export async function checkpointFiles(directory: string): Promise<LocalFile[]> {
  const names = await readdir(directory, { recursive: true })
  return await there(
    directory,
    names.map((name) => name.replaceAll('\\', '/')),
  )
}

async function kindOf(directory: string): Promise<LocalFiles['kind'] | undefined> {
  if ((await sizeOf(join(directory, ADAPTER_CONFIG))) !== undefined) return 'adapter'
  return (await sizeOf(join(directory, MODEL_CONFIG))) === undefined ? undefined : 'model'
}

async function filesOf(directory: string, kind: LocalFiles['kind']): Promise<LocalFile[]> {
  const names = await readdir(directory)
  const weights = names.filter((name) => WEIGHTS[kind].test(name))
  if (weights.length === 0)
    throw new LowrankError(
      'FILE',
      `[push] expected weights in safetensors in ${directory}, got none; push what save() or merge() wrote`,
    )
  const templates = (await readdir(join(directory, TEMPLATES)).catch(() => [])).filter((name) =>
    name.endsWith('.jinja'),
  )
  return await there(directory, [
    ...(kind === 'adapter' ? [ADAPTER_CONFIG] : [INDEX_FILE]),
    ...SMALL_FILES.filter((name) => kind === 'model' || name !== MODEL_CONFIG),
    ...templates.map((name) => `${TEMPLATES}/${name}`),
    ...weights.sort(),
    'SHA256SUMS',
    CARD_FILE,
  ])
}

async function included(directory: string, include: readonly string[]): Promise<LocalFile[]> {
  const files = await there(directory, include)
  const missing = include.find((path) => !files.some((file) => file.path === path))
  if (missing === undefined) return files
  throw new OptionError(
    `[push] expected files of ${directory} for include, got ${JSON.stringify(missing)}, which is not there; correct it`,
  )
}

function merged(files: readonly LocalFile[], more: readonly LocalFile[]): LocalFile[] {
  return [...new Map([...files, ...more].map((file) => [file.path, file])).values()]
}

/** Those of the files that are there, as regular files. */
async function there(directory: string, paths: readonly string[]): Promise<LocalFile[]> {
  const files: LocalFile[] = []
  for (const path of paths) {
    const from = join(directory, path)
    const size = await sizeOf(from)
    if (size !== undefined) files.push({ path, from, size })
  }
  return files
}

async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found?.isFile() ? found.size : undefined
}

/** Whether a file has the content that the Hub lists: SHA-256 in LFS, else Git's object id. */
export async function hasContent(
  file: LocalFile,
  {
    size,
    sha256,
    oid,
  }: { readonly size: number; readonly sha256: string | undefined; readonly oid: string | undefined },
): Promise<boolean> {
  if (file.size !== size) return false
  const hash = createHash(sha256 === undefined ? 'sha1' : 'sha256')
  if (sha256 === undefined) hash.update(`blob ${size}\0`)
  for await (const piece of createReadStream(file.from)) hash.update(piece as Uint8Array)
  return hash.digest('hex') === (sha256 ?? oid)
}
