/** @file Writing a tokenizer as transformers has it: its files beside a model or an adapter, and the chat template. */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileToWrite } from '../atomic-write.js'
import { isGgufPath, readGguf } from '../gguf/reader.js'
import { jsonText, parseLosslessJson } from '../lossless-json.js'
import { readDirectory, readRegularFile } from '../regular-file.js'
import { ggufTokenizerFiles } from '../tokenizer/gguf.js'
import { templateText } from '../tokenizer/named-templates.js'
import { runAtOnce } from '../turns.js'

const CONFIG_FILE = 'tokenizer_config.json'
const TEMPLATE_FILE = 'chat_template.jinja'
/** The older file of processors. */
const PROCESSOR_TEMPLATE_FILE = 'chat_template.json'

const TOKENIZER_FILES = [
  'tokenizer.json',
  CONFIG_FILE,
  'special_tokens_map.json',
  'added_tokens.json',
  TEMPLATE_FILE,
  PROCESSOR_TEMPLATE_FILE,
  'tokenizer.model',
  'vocab.json',
  'merges.txt',
]

/** Chat templates beside the default one, `tool_use` for example. */
const TEMPLATE_DIRECTORY = 'additional_chat_templates'

/** A tokenizer that is written beside weights. */
export interface SavedTokenizer {
  /**
   * Directory whose tokenizer files are copied, or GGUF file whose tokenizer is written.
   * @default none: no tokenizer is written
   */
  tokenizerFrom?: string | undefined
  /**
   * Jinja text, or the name of a format, that is written as `chat_template.jinja`, in place of all templates of
   * `tokenizerFrom`.
   * @default those of `tokenizerFrom`
   */
  chatTemplate?: string | undefined
}

/** The files of a tokenizer in `directory`. */
export async function tokenizerFiles(
  directory: string,
  { tokenizerFrom, chatTemplate }: SavedTokenizer,
): Promise<FileToWrite[]> {
  const files = tokenizerFrom === undefined ? [] : await filesOf(tokenizerFrom)
  const kept = chatTemplate === undefined ? files : withTemplate(files, templateText(chatTemplate))
  return kept.map(({ name, content }) => ({ path: join(directory, name), content }))
}

interface TokenizerFile {
  readonly name: string
  readonly content: string | Uint8Array
}

async function filesOf(from: string): Promise<TokenizerFile[]> {
  if (isGgufPath(from)) {
    const { tokenizer, config } = runAtOnce(ggufTokenizerFiles(readGguf(from).metadata))
    return [
      { name: 'tokenizer.json', content: JSON.stringify(tokenizer, mapsAsObjects) },
      { name: CONFIG_FILE, content: `${JSON.stringify(config, null, 2)}\n` },
    ]
  }
  return await Promise.all(
    (await tokenizerFileNames('saveModel', from)).map(async (name) => ({
      name,
      content: await readRegularFile(join(from, name), { where: 'saveModel' }),
    })),
  )
}

/** Those files of a directory that are of its tokenizer, relative to it. */
export async function tokenizerFileNames(where: string, from: string): Promise<string[]> {
  const present = (await readDirectory(where, from)).filter((name) => TOKENIZER_FILES.includes(name))
  const templates = await readdir(join(from, TEMPLATE_DIRECTORY)).catch(() => [])
  const named = templates.filter((file) => file.endsWith('.jinja')).map((file) => join(TEMPLATE_DIRECTORY, file))
  return [...present, ...named]
}

/** With one template in the place of all that there are. */
function withTemplate(files: readonly TokenizerFile[], template: string): TokenizerFile[] {
  const isTemplate = ({ name }: TokenizerFile): boolean =>
    name === TEMPLATE_FILE || name === PROCESSOR_TEMPLATE_FILE || name.startsWith(TEMPLATE_DIRECTORY)
  return [
    ...files
      .filter((file) => !isTemplate(file))
      .map((file) => (file.name === CONFIG_FILE ? withoutTemplate(file) : file)),
    { name: TEMPLATE_FILE, content: template },
  ]
}

/** As transformers writes it where the template has a file of its own. */
function withoutTemplate({ name, content }: TokenizerFile): TokenizerFile {
  const config = parseLosslessJson(content.toString())
  const entries = config instanceof Map ? [...config] : Object.entries(config as object)
  const kept = entries.filter(([key]) => key !== 'chat_template')
  return { name, content: kept.length === entries.length ? content : `${jsonText(new Map(kept))}\n` }
}

function mapsAsObjects(_key: string, value: unknown): unknown {
  return value instanceof Map ? Object.fromEntries(value) : value
}
