/** @file The pages that users read, their fenced blocks, and a folder in which these run. */

import { execFile } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { convertModel, ggufBytes, tokenizerKeys } from '../support/gguf.js'
import { TINY_CONFIG, writeTinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const MODEL = join(ROOT, 'models/lowrank-base-5m')

/** One fenced block of a page. */
export interface Block {
  /** Path from the root of the repository. */
  readonly page: string
  /** Line of its opening fence. */
  readonly line: number
  readonly language: string
  /** Words behind the language, which pages do not show: what keeps the block from being run. */
  readonly marks: readonly string[]
  readonly text: string
}

/** README.md and all of docs/. */
export function pages(): string[] {
  const docs = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'))
  return ['README.md', ...docs.sort().map((name) => `docs/${name}`)]
}

export function readPage(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8')
}

/** The fenced blocks of a page, in order. @throws on a fence that nothing closes */
export function blocksOf(page: string): Block[] {
  const blocks: Block[] = []
  let open: { line: number; language: string; marks: string[]; lines: string[] } | undefined
  for (const [index, line] of readPage(page).split('\n').entries()) {
    const fence = /^```(\S*) ?(.*)$/.exec(line)
    if (open && line === '```') {
      const { lines, ...block } = open
      blocks.push({ page, ...block, text: lines.join('\n') })
      open = undefined
    } else if (open) {
      open.lines.push(line)
    } else if (fence) {
      const [, language = '', marks = ''] = fence
      open = { line: index + 1, language, marks: marks.split(' ').filter(Boolean), lines: [] }
    }
  }
  if (open) throw new Error(`${page}:${open.line} opens a block that nothing closes`)
  return blocks
}

/** The page without its fenced blocks: line numbers stay. */
export function proseOf(page: string): string[] {
  let isCode = false
  return readPage(page)
    .split('\n')
    .map((line) => {
      const isFence = line.startsWith('```')
      const text = isCode || isFence ? '' : line
      if (isFence) isCode = !isCode
      return text
    })
}

/** A folder with what the pages take for granted: the package, a model under every name that they use, and rows. */
export interface Sandbox {
  readonly directory: string
  /** Runs a program there. Rejects with what it wrote when it fails. */
  run(command: string, args: readonly string[]): Promise<string>
}

const ROWS = Array.from({ length: 12 }, (_, i) => ({ prompt: `Add ${i} and ${i + 1}: `, completion: `${2 * i + 1}` }))
const CHAT_ROWS = ROWS.map(({ prompt, completion }) => ({
  messages: [
    { role: 'user', content: prompt },
    { role: 'assistant', content: completion },
  ],
}))

export async function createSandbox(): Promise<Sandbox> {
  const directory = mkdtempSync(join(tmpdir(), 'lowrank-docs-'))
  mkdirSync(join(directory, 'node_modules'))
  symlinkSync(ROOT, join(directory, 'node_modules/lowrank'))
  // Types, and packages that pages tell a reader to install.
  for (const name of ['@types', '@duckdb', 'apache-arrow'])
    symlinkSync(join(ROOT, 'node_modules', name), join(directory, 'node_modules', name))
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
  cpSync(MODEL, join(directory, 'model'), { recursive: true })
  const toLines = (rows: readonly object[]): string => `${rows.map((row) => JSON.stringify(row)).join('\n')}\n`
  writeFileSync(join(directory, 'rows.jsonl'), toLines(ROWS))
  writeFileSync(join(directory, 'held-out.jsonl'), toLines(ROWS.slice(0, 3)))
  writeFileSync(join(directory, 'chat.jsonl'), toLines(CHAT_ROWS))
  writeFileSync(join(directory, 'SmolLM2-135M-Instruct.Q4_1.gguf'), await ggufModel(join(directory, 'small')))
  // The model of the examples, as if it had been fetched before.
  const repository = join(directory, 'hub/models--HuggingFaceTB--SmolLM2-135M-Instruct')
  const commit = '0123456789abcdef0123456789abcdef01234567'
  mkdirSync(join(repository, 'refs'), { recursive: true })
  writeFileSync(join(repository, 'refs/main'), commit)
  cpSync(MODEL, join(repository, 'snapshots', commit), { recursive: true })
  // In a project npx finds the command of the package; here it is that of dist/.
  mkdirSync(join(directory, 'bin'))
  const npx = join(directory, 'bin/npx')
  const main = join(ROOT, 'dist/cli/main.js')
  writeFileSync(npx, `#!/bin/sh\n[ "$1" = lowrank ] && shift && exec "${process.execPath}" "${main}" "$@"\n`)
  chmodSync(npx, 0o755)
  const env = {
    ...process.env,
    PATH: `${join(directory, 'bin')}:${process.env.PATH}`,
    HF_HUB_CACHE: join(directory, 'hub'),
    HF_HUB_OFFLINE: '1',
    NO_COLOR: '1',
  }
  return {
    directory,
    run: (command, args) =>
      new Promise((resolve, reject) => {
        const child = execFile(command, [...args], { cwd: directory, env, maxBuffer: 2 ** 26 }, (error, out, err) =>
          error ? reject(new Error(`${error.message}\n${out}\n${err}`)) : resolve(out + err),
        )
        child.stdin?.end()
      }),
  }
}

/** A small llama as a GGUF file, made of a directory that is left beside it. */
async function ggufModel(directory: string): Promise<Buffer> {
  const { tokenizer } = tinyByteLevelTokenizer()
  const words = tokenizerKeys(tokenizer as Parameters<typeof tokenizerKeys>[0])
  await writeTinyModel(directory, { config: { ...TINY_CONFIG, vocab_size: (words.tokens as string[]).length } })
  const { keys, tensors } = await convertModel(directory)
  const named = Object.entries({ ...words, pre: 'gpt-2' }).map(([name, value]) => [`tokenizer.ggml.${name}`, value])
  const template = "{% for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor %}"
  const all = { ...keys, ...Object.fromEntries(named), 'tokenizer.chat_template': template }
  return ggufBytes({ keys: all, tensors })
}
