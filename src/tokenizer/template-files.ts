/**
 * @file Where a tokenizer's chat templates are written, and which of the places counts: by the rules of transformers.
 */

import { isUtf8 } from 'node:buffer'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describeValue } from '../errors.js'
import type { GgufMetadata } from '../gguf/metadata.js'
import { ModelError } from '../lowrank-error.js'
import { readRegularFileIfThere } from '../regular-file.js'
import type { NamedTemplates } from './chat-template.js'

const FILE = 'chat_template.jinja'
const DIRECTORY = 'additional_chat_templates'
/** The older file of processors. Tokenizers do not look at it; it helps where there is no other template. */
const PROCESSOR_FILE = 'chat_template.json'
const GGUF_KEY = 'tokenizer.chat_template'

/** One template, or several by name. */
export type Templates = string | NamedTemplates

/**
 * The `chat_template` of tokenizer_config.json: a text, a list of `{ name, template }`, or an object of texts by name.
 *
 * @param file The file that errors name, where the value comes from one.
 * @throws ModelError for other values.
 */
export function templatesOf(value: unknown, file?: string): Templates | undefined {
  if (value === undefined || value === null || typeof value === 'string') return value ?? undefined
  const named: Record<string, string> = {}
  const entries: [unknown, unknown][] = Array.isArray(value)
    ? value.map((entry: { name?: unknown; template?: unknown } | null) => [entry?.name, entry?.template])
    : Object.entries(value)
  for (const [name, template] of entries) {
    if (typeof name !== 'string' || typeof template !== 'string') {
      throw new ModelError(
        '[chat template] expected a string, a list of { name, template } or strings by name for chat_template, got ' +
          describeValue(value) +
          (file === undefined ? '' : ` in ${file}`),
      )
    }
    named[name] = template
  }
  return named
}

/**
 * The templates of a model directory. Files of their own take the place of what tokenizer_config.json says:
 * `chat_template.jinja` is the default, `additional_chat_templates/NAME.jinja` has names, of which `default` takes its
 * place.
 */
export async function readTemplates(directory: string, configured: unknown): Promise<Templates | undefined> {
  const read = async (...path: string[]): Promise<string | undefined> => {
    const file = join(directory, ...path)
    const bytes = await readRegularFileIfThere(file, { where: 'loadTokenizer' })
    if (bytes === undefined || isUtf8(bytes)) return bytes?.toString()
    throw new ModelError(
      `[loadTokenizer] expected a chat template in UTF-8 in ${file}, got other bytes; convert it to UTF-8`,
    )
  }
  const named: Record<string, string> = {}
  const single = await read(FILE)
  if (single !== undefined) named.default = single
  const names = await readdir(join(directory, DIRECTORY)).catch(() => [])
  for (const name of names.filter((file) => file.endsWith('.jinja')).sort()) {
    const template = await read(DIRECTORY, name)
    if (template !== undefined) named[name.slice(0, -'.jinja'.length)] = template
  }
  const keys = Object.keys(named)
  if (keys.length > 0) return keys.length === 1 && named.default !== undefined ? named.default : named
  const templates = templatesOf(configured, join(directory, 'tokenizer_config.json'))
  if (templates !== undefined) return templates
  const processor = await read(PROCESSOR_FILE)
  if (processor === undefined) return undefined
  let parsed: { chat_template?: unknown } | null
  try {
    parsed = JSON.parse(processor) as { chat_template?: unknown } | null
  } catch (error) {
    throw new ModelError(
      `[loadTokenizer] expected JSON in ${join(directory, PROCESSOR_FILE)}, got: ${(error as Error).message}`,
      {
        cause: error,
      },
    )
  }
  return templatesOf(parsed?.chat_template, join(directory, PROCESSOR_FILE))
}

/** The templates of a GGUF file: `tokenizer.chat_template`, and `tokenizer.chat_template.NAME` for the others. */
export function ggufTemplates(metadata: GgufMetadata): Templates | undefined {
  const named: Record<string, string> = {}
  for (const key of metadata.keys()) {
    if (key.startsWith(`${GGUF_KEY}.`)) named[key.slice(GGUF_KEY.length + 1)] = metadata.text(key)
  }
  const single = metadata.has(GGUF_KEY) ? metadata.text(GGUF_KEY) : undefined
  if (Object.keys(named).length === 0) return single
  return single === undefined ? named : { default: single, ...named }
}
