/** @file What a model directory takes of an adapter or a whole model: files, facts, and the card with its licence. */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { tokenizerFileNames } from '../../checkpoint/save-tokenizer.js'
import { ModelError } from '../../lowrank-error.js'
import { readRegularFileIfThere } from '../../regular-file.js'
import { readJsonObject } from '../../weights/strict-json.js'
import { readYamlTexts } from '../../yaml-text.js'
import type { NamedSource } from './files.js'
import type { PackTask } from './signature.js'

/** What adapters and whole models bring along. */
export interface PackedParts {
  /** Where weights and components are, for MLflow's flavor `transformers`. */
  readonly flavor: Readonly<Record<string, unknown>>
  /** What stands under `metadata.lowrank` of MLmodel. */
  readonly facts: Readonly<Record<string, unknown>>
  readonly sources: readonly NamedSource[]
  readonly needsPeft: boolean
  readonly warnings: readonly string[]
}

/** The name of the model card in a directory. */
export const CARD_FILE = 'README.md'
/** Cards are read whole. */
const LARGEST_CARD = 2 ** 20
/** The terms of a model, and notices that go with them. */
export const LICENSE_FILE = /^(?:licen[cs]e|notice)(?:\.\w+)?$/i

/** The files of the tokenizer in a directory, as they go into a model directory; empty where it has none. */
export async function tokenizerSources(directory: string): Promise<NamedSource[]> {
  const names = await tokenizerFileNames('pack', directory)
  if (!names.some((name) => name === 'tokenizer.json' || name === 'tokenizer.model')) return []
  return names.map((name) => ({
    path: `components/tokenizer/${name.replaceAll('\\', '/')}`,
    source: join(directory, name),
  }))
}

/** @throws ModelError where a model is to answer conversations and its tokenizer has no chat template */
export async function expectChatTemplate(task: PackTask | undefined, tokenizer: readonly NamedSource[]): Promise<void> {
  if (task !== 'llm/v1/chat') return
  const named = (end: string): NamedSource | undefined => tokenizer.find(({ path }) => path.endsWith(end))
  if (named('/chat_template.jinja') ?? named('/chat_template.json')) return
  const config = named('/tokenizer_config.json')?.source
  if (typeof config === 'string' && (await readJsonObject('pack', config)).chat_template) return
  throw new ModelError(
    "[pack] expected a tokenizer with a chat template for task 'llm/v1/chat', got one without; train with chatTemplate, or pack for 'text-generation'",
  )
}

/** The card of a directory and its licence, as MLflow lays them down. */
export async function cardSources(directory: string, baseModel: string | undefined): Promise<NamedSource[]> {
  const files = (await readdir(directory)).filter((name) => LICENSE_FILE.test(name)).sort()
  const sources: NamedSource[] = files.map((name) => ({ path: name, source: join(directory, name) }))
  const bytes = await readRegularFileIfThere(join(directory, CARD_FILE), { where: 'pack', limit: LARGEST_CARD })
  const [, header = '', body = bytes?.toString()] =
    /^---\r?\n([\s\S]*?\n)---\r?\n([\s\S]*)$/.exec(bytes?.toString() ?? '') ?? []
  if (body !== undefined) sources.push({ path: 'model_card.md', source: Buffer.from(body) })
  if (header !== '') sources.push({ path: 'model_card_data.yaml', source: Buffer.from(header) })
  if (files.length === 0 && baseModel !== undefined) {
    const found = readYamlTexts(header, ['license', 'license_name', 'license_link'])
    const text = licenseText(baseModel, [found.license, found.license_name, found.license_link].flat())
    sources.push({ path: 'LICENSE.txt', source: Buffer.from(text) })
  }
  return sources
}

/** What stands in LICENSE.txt where nobody has brought the licence itself. */
export function licenseText(baseModel: string, names: readonly (string | undefined)[]): string {
  const known = names.filter((name) => name !== undefined)
  const terms =
    known.length > 0 ? `It is ${known.join(', ')}.` : 'It was not known when this was packed; see where the model is.'
  return `The licence of the base model ${baseModel} applies to what is made from it. ${terms}\n`
}
