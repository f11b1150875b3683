/** @file checkLoaders: what other programs would refuse of a model or an adapter, read from their files alone. */

import { join } from 'node:path'
import { PEFT_CONFIG_FILE } from '../adapters/peft-config.js'
import { PEFT_WEIGHTS_FILE } from '../adapters/peft-names.js'
import { resolveAdapter } from '../adapters/resolve-adapter.js'
import type { RawConfig } from '../architecture/config.js'
import { readModelConfig } from '../checkpoint/load-model.js'
import { resolveModel } from '../checkpoint/resolve-model.js'
import { isGgufPath } from '../gguf/reader.js'
import { featuresOf } from '../loaders/adapter-features.js'
import type { LoaderFinding } from '../loaders/loader.js'
import { LOADER_LIST, type LoaderName } from '../loaders/loader-names.js'
import { loaderFindings } from '../loaders/loaders.js'
import { OptionError } from '../lowrank-error.js'
import { boolean, text } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { isMissing } from '../regular-file.js'
import { readTemplates, type Templates } from '../tokenizer/template-files.js'
import { loadTokenizer } from '../tokenizer/tokenizer.js'
import { readSafetensorsHeader } from '../weights/safetensors.js'
import { readJsonObject } from '../weights/strict-json.js'
import { NAMED_MODEL } from './options.js'
import { hasTokenizer } from './tokenizer-place.js'

/** Options of `checkLoaders`. */
export interface CheckLoadersOptions {
  /** Programs that are to open it. */
  loaders: readonly LoaderName[]
  /**
   * Directory, GGUF file, Hub id or `uc://` address of the model.
   * @default the one that the adapter names
   */
  model?: string
  /**
   * Branch, tag or commit of a model of the Hub.
   * @default 'main'; for the model that the adapter names, the commit that it names
   */
  revision?: string
  /**
   * Directory of a LoRA adapter in PEFT's files, or its `uc://` address. One that lowrank itself does not load is
   * checked, too.
   * @default none: the model alone is checked
   */
  adapter?: string
  /**
   * True: the adapter is folded into the model before, so that nothing of it can be refused.
   * @default false
   */
  merged?: boolean
}

/** The options of `checkLoaders`. */
export const CHECK_LOADERS_OPTIONS = {
  loaders: { rule: LOADER_LIST, isRequired: true, help: 'programs that are to open it' },
  ...NAMED_MODEL,
  adapter: {
    rule: text,
    otherwise: 'none, the model alone is checked',
    help: "directory of a LoRA adapter in PEFT's files, or its uc:// address",
  },
  merged: { rule: boolean, default: false, help: 'the adapter is folded into the model before' },
} as const satisfies OptionTable<CheckLoadersOptions>

/**
 * What the named programs would refuse, ignore or need, by the rules of the versions that each finding names. Only
 * configurations, headers and templates are read.
 */
export async function checkLoaders(options: CheckLoadersOptions): Promise<LoaderFinding[]> {
  const { loaders, model, revision, adapter, merged } = readOptions('check', options, CHECK_LOADERS_OPTIONS)
  const directory = adapter === undefined ? undefined : await resolveAdapter(adapter)
  const settings = directory === undefined ? {} : await readJsonObject('check', join(directory, PEFT_CONFIG_FILE))
  const named = typeof settings.base_model_name_or_path === 'string' ? settings.base_model_name_or_path : undefined
  const commit = model === undefined && typeof settings.revision === 'string' ? settings.revision : undefined
  const place = model ?? named
  if (place === undefined)
    throw new OptionError(
      '[check] expected a directory, a GGUF file or a Hub id for model, got none, and no adapter that names it',
    )
  const { config, chatTemplate } = await readModel(place, revision ?? commit)
  const own = directory === undefined ? undefined : await templatesIn(directory)
  const features =
    directory === undefined || merged
      ? undefined
      : featuresOf(settings, [...(await readSafetensorsHeader(join(directory, PEFT_WEIGHTS_FILE))).tensors.keys()])
  return loaderFindings(loaders, { config, adapter: features, chatTemplate: own ?? chatTemplate })
}

async function readModel(
  place: string,
  revision: string | undefined,
): Promise<{ config: RawConfig; chatTemplate: Templates | undefined }> {
  const { path } = await resolveModel(place, { part: 'config', ...(revision !== undefined && { revision }) })
  return { config: await readModelConfig(path), chatTemplate: await templatesIn(path) }
}

/** The chat template in a directory or a GGUF file; undefined where there is no tokenizer. */
async function templatesIn(path: string): Promise<Templates | undefined> {
  if (!(await hasTokenizer(path))) return undefined
  if (isGgufPath(path)) return (await loadTokenizer(path)).chatTemplate
  const config = await readJsonObject('check', join(path, 'tokenizer_config.json')).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })
  return await readTemplates(path, config?.chat_template)
}
