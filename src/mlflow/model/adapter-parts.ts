/** @file What a model directory takes of a LoRA adapter: its files, and where MLflow's client finds its base model. */

import { readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { checkFiles, readAdapterHeader } from '../../adapters/adapter-file.js'
import { PEFT_CONFIG_FILE, readPeftConfig } from '../../adapters/peft-config.js'
import { MERGE_IN_PEFT, PEFT_WEIGHTS_FILE, parsePeftTensorName } from '../../adapters/peft-names.js'
import { CHECKSUM_FILE } from '../../checkpoint/checksums.js'
import { resolveModel } from '../../checkpoint/resolve-model.js'
import { isCatalogAddress } from '../../databricks/client/models/address.js'
import { shorten } from '../../errors.js'
import { isGgufPath } from '../../gguf/reader.js'
import { jsonText, parseLosslessJson } from '../../lossless-json.js'
import { ModelError } from '../../lowrank-error.js'
import { bytesFile } from './files.js'
import type { PackOptions } from './pack-options.js'
import { CARD_FILE, cardSources, expectChatTemplate, type PackedParts, tokenizerSources } from './parts.js'

/** MLflow's name of the folder of an adapter. */
const PEFT_FOLDER = 'peft'

/** @throws ModelError for what is no adapter, is damaged, or cannot be loaded by MLflow's client with PEFT */
export async function adapterParts(directory: string, options: PackOptions): Promise<PackedParts> {
  const config = await readPeftConfig(directory)
  await expectTensors(directory)
  const warnings = await checkFiles(directory)
  const baseModel = expectBaseModel(directory, options.baseModel ?? config.baseModel)
  const { baseRevision = baseModel === config.baseModel ? config.revision : undefined } = options
  const own = await tokenizerSources(directory)
  const base =
    baseRevision === undefined
      ? await localBase(await directoryOf(baseModel, options.signal), own.length > 0)
      : { flavor: hubFlavor(baseModel, baseRevision), tokenizer: [] }
  if (baseRevision === undefined) await expectChatTemplate(options.task, own.length > 0 ? own : base.tokenizer)
  else if (options.task === 'llm/v1/chat' && own.length > 0)
    throw new ModelError(
      `[pack] expected an adapter without a tokenizer of its own for task 'llm/v1/chat', got those of ${directory}: MLflow takes the tokenizer and chat ` +
        `template of ${baseModel} from the Hub, not the ones of training; pack the merged model`,
    )
  const { r, loraAlpha } = config.lora
  const isOther = baseModel !== config.baseModel || baseRevision !== config.revision
  return {
    flavor: { peft_adaptor: PEFT_FOLDER, pipeline_model_type: 'AutoModelForCausalLM', ...base.flavor },
    facts: {
      kind: 'adapter',
      base_model: baseModel,
      base_model_revision: baseRevision ?? null,
      r,
      lora_alpha: loraAlpha,
    },
    sources: [
      ...(isOther ? await renamedSources(directory, baseModel, baseRevision) : await adapterSources(directory)),
      ...(own.length > 0 ? own : base.tokenizer),
      ...(await cardSources(directory, baseModel)),
    ],
    needsPeft: true,
    warnings,
  }
}

/** @throws ModelError where nothing says which model an adapter is of */
export function expectBaseModel(directory: string, baseModel: string | undefined): string {
  if (baseModel !== undefined) return baseModel
  throw new ModelError(
    `[pack] expected a base model in ${join(directory, PEFT_CONFIG_FILE)}, got none; name it with baseModel`,
  )
}

/** @throws unless there are tensors, all of a kind that is supported */
async function expectTensors(directory: string): Promise<void> {
  const { tensors } = await readAdapterHeader(directory)
  const path = join(directory, PEFT_WEIGHTS_FILE)
  if (tensors.size === 0) throw new ModelError(`[pack] expected tensors in ${path}, got none; save the adapter again`)
  for (const name of tensors.keys()) {
    const parsed = parsePeftTensorName(name)
    if (parsed?.kind === 'unsupported')
      throw new ModelError(
        `[pack] ${path} holds ${shorten(name)}, which belongs to ${shorten(parsed.feature)}; that is not supported yet; ${MERGE_IN_PEFT}`,
      )
  }
}

/** The adapter as PEFT reads it; checksums and card go along where they are. */
async function adapterSources(directory: string): Promise<PackedParts['sources']> {
  const names = [PEFT_CONFIG_FILE, PEFT_WEIGHTS_FILE]
  for (const name of [CHECKSUM_FILE, CARD_FILE]) if (await kindOf(join(directory, name))) names.push(name)
  return names.map((name) => ({ path: `${PEFT_FOLDER}/${name}`, source: join(directory, name) }))
}

/** The same with another base in its settings, for all who load the adapter without MLflow. */
async function renamedSources(
  directory: string,
  baseModel: string,
  revision: string | undefined,
): Promise<PackedParts['sources']> {
  const path = join(directory, PEFT_CONFIG_FILE)
  const json = parseLosslessJson(await readFile(path, 'utf8'))
  const settings = new Map(json instanceof Map ? json : Object.entries(json as object))
  settings.set('base_model_name_or_path', baseModel).set('revision', revision ?? null)
  const text = Buffer.from(`${jsonText(settings)}\n`)
  const { sha256 } = bytesFile(PEFT_CONFIG_FILE, text)
  const line = new RegExp(`^[0-9a-fA-F]{64}(?= [ *](?:\\./)?${PEFT_CONFIG_FILE}$)`, 'm')
  return await Promise.all(
    (await adapterSources(directory)).map(async ({ path: place, source }) => {
      if (place === `${PEFT_FOLDER}/${PEFT_CONFIG_FILE}`) return { path: place, source: text }
      if (place !== `${PEFT_FOLDER}/${CHECKSUM_FILE}`) return { path: place, source }
      const sums = await readFile(join(directory, CHECKSUM_FILE), 'utf8')
      return { path: place, source: Buffer.from(sums.replace(line, sha256)) }
    }),
  )
}

/** MLflow's client asks the Hub for both with this commit; it looks at no tokenizer of the directory then. */
function hubFlavor(baseModel: string, revision: string): PackedParts['flavor'] {
  return {
    source_model_name: baseModel,
    source_model_revision: revision,
    tokenizer_name: baseModel,
    tokenizer_revision: revision,
  }
}

/** MLflow's client knows no `uc://`: it finds such a base where it was pulled to. */
async function directoryOf(baseModel: string, signal: AbortSignal | undefined): Promise<string> {
  return isCatalogAddress(baseModel) ? (await resolveModel(baseModel, { signal })).path : baseModel
}

async function localBase(
  baseModel: string,
  hasTokenizer: boolean,
): Promise<{ flavor: PackedParts['flavor']; tokenizer: PackedParts['sources'] }> {
  if (isGgufPath(baseModel))
    throw new ModelError(
      `[pack] expected a base model of safetensors for an adapter, got the GGUF file ${baseModel}, which PEFT does not put adapters on; merge the ` +
        'adapter into it, or name the model that the GGUF was made of with baseModel',
    )
  const kind = await kindOf(baseModel)
  if (kind === undefined && /^[\w-][\w.-]*(?:\/[\w-][\w.-]*)?$/.test(baseModel))
    throw new ModelError(
      `[pack] expected the commit of the base model ${baseModel} on the Hub, got none in ${PEFT_CONFIG_FILE}; give the one that the adapter was trained ` +
        'on as baseRevision',
    )
  const tokenizer = kind === 'directory' ? await tokenizerSources(baseModel) : []
  if (!hasTokenizer && tokenizer.length === 0)
    throw new ModelError(
      `[pack] expected a tokenizer beside the adapter or in its base model ${baseModel}, got none; name the directory of the base model with baseModel`,
    )
  const path = resolve(baseModel)
  return { flavor: { local_base_model_path: path, source_model_name: path }, tokenizer }
}

async function kindOf(path: string): Promise<'directory' | 'file' | undefined> {
  return await stat(path).then(
    (found) => (found.isDirectory() ? 'directory' : 'file'),
    () => undefined,
  )
}
