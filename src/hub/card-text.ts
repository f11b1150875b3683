/**
 * @file What every model card of ours is made of: the metadata in its YAML header
 * (https://huggingface.co/docs/hub/model-cards), and Markdown that no name, path or template of a user can break.
 */

import { yamlText } from '../yaml-text.js'
import type { ModelIndex } from './model-index.js'
import type { ModelLicense } from './model-origin.js'

/** In every card of ours. One without it is someone's own, and stays as it is. */
export const CARD_MARK = '<!-- Written by lowrank, anew with every save. Take this line out to keep your changes. -->'

/** Whether a card may be replaced. */
export function isOwnCard(text: string): boolean {
  return text.includes(CARD_MARK)
}

/** What a card says to programs. */
export interface CardMetadata {
  /** The id on the Hub; undefined where it is not known: a path is nothing that the Hub could find. */
  readonly baseModel: string | undefined
  readonly kind: 'adapter' | 'model'
  readonly license: ModelLicense | undefined
  /** Ids of data sets of the Hub. */
  readonly datasets?: readonly string[]
  readonly modelIndex?: ModelIndex | undefined
}

/** The header, with the lines of dashes around it. */
export function cardHeader({ baseModel, kind, license, datasets = [], modelIndex }: CardMetadata): string {
  const isAdapter = kind === 'adapter'
  const metadata: Record<string, unknown> = {
    ...(baseModel !== undefined && {
      base_model: baseModel,
      base_model_relation: isAdapter ? 'adapter' : 'finetune',
    }),
    library_name: isAdapter ? 'peft' : 'transformers',
    pipeline_tag: 'text-generation',
    // What is made from a model has its terms.
    ...(license && {
      license: license.id,
      ...(license.name && { license_name: license.name }),
      ...(license.link && { license_link: license.link }),
    }),
    ...(datasets.length > 0 && { datasets }),
    tags: [
      ...(isAdapter && baseModel !== undefined ? [`base_model:adapter:${baseModel}`] : []),
      ...(isAdapter ? ['lora'] : []),
      'lowrank',
    ],
    ...(modelIndex && { 'model-index': modelIndex }),
  }
  return `---\n${metadataText(metadata)}---\n`
}

/** Lines of a header. */
export function metadataText(metadata: object): string {
  return yamlText(JSON.parse(JSON.stringify(metadata, wholeCharacters)))
}

/** Half a character, which a text of JavaScript may hold, is nothing that other readers of YAML take. */
function wholeCharacters(_: string, value: unknown): unknown {
  return typeof value === 'string' ? value.replace(/\p{Cs}/gu, '\ufffd') : value
}

/** The licence in words for a cell of a table, or a sentence. */
export function licenseText(license: ModelLicense): string {
  return plain([license.id, license.name, license.link].filter(Boolean).join(', '))
}

/** A table of Markdown; cells are Markdown already. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `|${cells.map((cell) => (cell === '' ? ' ' : ` ${cell} `)).join('|')}|`
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n')
}

/** A name as code. What would end the code, the cell or the line is left out. */
export function code(name: string): string {
  return `\`${name.replace(/[`|\p{C}\u2028\u2029]/gu, '')}\``
}

/** Text in which nothing is Markdown or HTML. */
export function plain(text: string): string {
  return text.replace(/[\p{C}\u2028\u2029]/gu, '').replace(/[\\`*_{}[\]<>#|!&~]/g, '\\$&')
}

/** A block of code whose fence is longer than any in the text, as in a chat template. */
export function fenced(language: string, text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length))
  const fence = '`'.repeat(longest + 1)
  return `${fence}${language}\n${text}${fence}`
}

/** How what the card describes is loaded. */
export interface CardUsage {
  readonly kind: 'adapter' | 'model'
  /** Hub id, or a name that stands for the base model. */
  readonly base: string
  readonly revision: string | undefined
  /** Hub id of what the card describes; undefined where it has none yet. */
  readonly id: string | undefined
}

/** The section that says how to load it, here and in Python. */
export function usageSection({ kind, base, revision, id }: CardUsage): string {
  const own = id ?? `path/to/this-${kind}`
  const at = revision === undefined ? '' : `, { revision: ${quoted(revision)} }`
  const pythonAt = revision === undefined ? '' : `, revision=${quoted(revision)}`
  const isAdapter = kind === 'adapter'
  const ours = `import { generateText, ${isAdapter ? 'LoraAdapter, ' : ''}loadModel, loadTokenizer } from 'lowrank'

const model = await loadModel(${quoted(isAdapter ? base : own)}${isAdapter ? at : ''})
const tokenizer = await loadTokenizer(model.path)
${isAdapter ? `await LoraAdapter.load(model, ${quoted(own)})\n` : ''}const { text } = await generateText(model, tokenizer, 'What is new?')
`
  const theirs = isAdapter
    ? `from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained(${quoted(base)}${pythonAt})
tokenizer = AutoTokenizer.from_pretrained(${quoted(base)}${pythonAt})
model = PeftModel.from_pretrained(base, ${quoted(own)})
`
    : `from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(${quoted(own)})
tokenizer = AutoTokenizer.from_pretrained(${quoted(own)})
`
  return `## How to load it

In lowrank:

${fenced('js', ours)}

In ${isAdapter ? 'PEFT' : 'transformers'}:

${fenced('python', theirs)}
`
}

/** A text in quotes that both JavaScript and Python read as that text. */
function quoted(text: string): string {
  return JSON.stringify(text.replace(/[\p{C}\u2028\u2029]/gu, ''))
}
