/**
 * @file What a directory is that was given for a model or an adapter and is not that: the answer that helps. Reads
 * nothing but names and adapter_config.json.
 */

import { readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describeValue } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { nearestPathHint } from '../nearest-path.js'
import { readJsonObject } from '../weights/strict-json.js'

const CONFIG_FILE = 'config.json'
const ADAPTER_FILE = 'adapter_config.json'

/**
 * Refuses a directory that holds no model but something known.
 * @throws saying what it is, and what to give where
 */
export async function refuseMisplacedModel(directory: string): Promise<void> {
  const names = await namesIn(directory)
  if (names.includes(CONFIG_FILE)) return
  const refuse = (what: string): never => {
    throw new ModelError(`[model] expected a model, got ${directory}, which ${what}`)
  }
  if (names.includes(ADAPTER_FILE)) {
    const base = await baseOf(directory)
    refuse(`is a LoRA adapter; give ${base ?? 'its base model'} as the model. ${withAdapter(directory)}`)
  }
  if (names.includes('adapter') && (await namesIn(join(directory, 'adapter'))).includes(ADAPTER_FILE)) {
    const base = await baseOf(join(directory, 'adapter'))
    refuse(
      `holds the adapter of a run; give ${base ?? 'its base model'} as the model. ${withAdapter(join(directory, 'adapter'))}`,
    )
  }
  if (names.includes('model') && (await namesIn(join(directory, 'model'))).includes(CONFIG_FILE))
    refuse(`holds the model of a run in model/; give ${join(directory, 'model')}`)
  const gguf = names.filter((name) => name.toLowerCase().endsWith('.gguf')).sort()
  if (gguf[0] !== undefined && !names.some((name) => name.endsWith('.safetensors')))
    refuse(`has no ${CONFIG_FILE} but GGUF files; give one of them, as ${join(directory, gguf[0])}`)
}

/** Training takes no adapter but that of the run that it continues. */
function withAdapter(directory: string): string {
  return `The commands generate, chat and merge take --adapter ${directory}; train goes on with a run by --resume`
}

/** The error for a directory without adapter_config.json, saying what it is instead. */
export async function misplacedAdapter(directory: string, cause: unknown): Promise<Error> {
  const refuse = (what: string): Error =>
    new ModelError(`[adapter] expected the directory of an adapter, got ${directory}, ${what}`, { cause })
  const found = await stat(directory).catch(() => undefined)
  if (found === undefined) {
    const hint = await nearestPathHint(directory)
    const isId = /^[\w.-]+\/[\w.-]+$/.test(directory)
    const fetching = `; check the path. lowrank fetches no adapters from the Hub: use "hf download ${directory}"`
    return refuse(`which does not exist${hint || (isId ? fetching : '; check the path')}`)
  }
  if (!found.isDirectory()) return refuse(`which is a file; give its directory, ${dirname(directory)}`)
  const names = await namesIn(directory)
  if (names.includes('adapter') && (await namesIn(join(directory, 'adapter'))).includes(ADAPTER_FILE))
    return refuse(`which holds it in adapter/; give ${join(directory, 'adapter')}`)
  if (names.includes(CONFIG_FILE)) return refuse('which is a model; give it as the model (--model)')
  const checkpoint = names.filter((name) => /^checkpoint-\d+$/.test(name)).sort((a, b) => numberOf(b) - numberOf(a))[0]
  if (checkpoint !== undefined && (await namesIn(join(directory, checkpoint))).includes(ADAPTER_FILE))
    return refuse(`which holds checkpoints of a run that has not ended; the last is ${join(directory, checkpoint)}`)
  return refuse(`which has no ${ADAPTER_FILE}; check the path`)
}

/** The base model that an adapter names, as a message shows it. */
async function baseOf(directory: string): Promise<string | undefined> {
  const config = await readJsonObject('adapter', join(directory, ADAPTER_FILE)).catch(() => undefined)
  const base = config?.base_model_name_or_path
  return typeof base === 'string' && base !== '' ? describeValue(base) : undefined
}

async function namesIn(directory: string): Promise<string[]> {
  return await readdir(directory).catch(() => [])
}

function numberOf(checkpoint: string): number {
  return Number(checkpoint.slice('checkpoint-'.length))
}
