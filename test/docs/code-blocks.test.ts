/**
 * @file Every fenced block of README and docs/: programs compile and run, commands run, rows and configurations are
 * read.
 *
 * A word behind the language, which pages do not show, says why a block is not run: it needs a `network`, a `gpu` or
 * `python`, or it is a command of a `checkout` that builds. A program that goes on with the one before is `continued`;
 * YAML that is no configuration of training says that it holds `rules`, a `mapping`, `prompts`, a `rubric` or `tasks`.
 * `npm test` runs README; CI and `npm run test:long` run all pages.
 */

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { prepareDataset } from '../../src/data/dataset.js'
import { Rubric } from '../../src/evaluate/judge-rubric.js'
import { readTasks } from '../../src/evaluate/run-tasks.js'
import type { EvaluationTask } from '../../src/evaluate/task-options.js'
import { resolveAllOptions } from '../../src/integrations/resolve-options.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { Prompts } from '../../src/transform/generate-prompts.js'
import { readMapping } from '../../src/transform/mapping-file.js'
import { readRules } from '../../src/transform/rule-file.js'
import { isThorough } from '../support/long.js'
import { type Block, blocksOf, createSandbox, pages, ROOT, type Sandbox } from './pages.js'

const NOT_RUN = ['network', 'gpu', 'python', 'checkout']
/** What a YAML block is, where it is no configuration of training. */
const YAML_FILES = {
  rules: readRules,
  mapping: readMapping,
  prompts: Prompts.read,
  rubric: Rubric.read,
  tasks: ({ tasks }: { tasks: EvaluationTask[] }) => readTasks(tasks),
}
const LANGUAGES = ['ts', 'sh', 'py', 'jsonl', 'json', 'yaml', 'text', 'mermaid']
const TSC = fileURLToPath(new URL('../../node_modules/typescript/bin/tsc', import.meta.url))

const all = pages().flatMap(blocksOf)
const programs = all.filter((block) => block.language === 'ts')
const runnable = all.filter((block) => isThorough || block.page === 'README.md')

let sandbox: Sandbox
beforeAll(async () => {
  sandbox = await createSandbox()
})
afterAll(() => rm(sandbox.directory, { recursive: true, force: true }))

describe('the blocks of the pages', () => {
  test('have a language that a test knows, and marks that say why one is not run', () => {
    for (const { page, line, language, marks } of all) {
      expect(LANGUAGES, `${page}:${line}`).toContain(language)
      for (const mark of marks)
        expect([...NOT_RUN, ...Object.keys(YAML_FILES), 'continued'], `${page}:${line}`).toContain(mark)
    }
  })

  test('compile as strict TypeScript against the package', async () => {
    const names = programs.map((block) => {
      const name = `${nameOf(block)}.mts`
      writeFileSync(join(sandbox.directory, name), `${programOf(block)}\nexport {}\n`)
      return name
    })
    expect(names.length).toBeGreaterThan(1)
    const options =
      '--noEmit --strict --skipLibCheck --target es2024 --module nodenext --types node --lib es2024,esnext.disposable'
    await sandbox.run(process.execPath, [TSC, ...options.split(' '), ...names])
  })

  test('name scripts and files of the repository that exist', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
    for (const { page, line, text } of all.filter((block) => block.marks.includes('checkout'))) {
      for (const [, name = ''] of text.matchAll(
        /npm (?:run )?(quickstart|test|[a-z]+:[a-z]+|bench|build|check|docs)\b/g,
      ))
        expect(scripts, `${page}:${line}`).toHaveProperty(name)
      for (const [, path = ''] of text.matchAll(/\b(?:node|bash) ((?:scripts|examples|bench)\/\S+)/g))
        expect(existsSync(join(ROOT, path)), `${page}:${line} ${path}`).toBe(true)
    }
  })
})

describe.each(pages().filter((page) => runnable.some((block) => block.page === page && isRun(block))))('%s', (page) => {
  test.each(
    blocksOf(page)
      .filter(isRun)
      .map((block) => [`its ${block.language} at line ${block.line} works`, block] as const),
  )('%s', async (_, block) => {
    if (block.language === 'ts') {
      const name = `${nameOf(block)}.mjs`
      writeFileSync(join(sandbox.directory, name), toJavaScript(programOf(block)))
      await sandbox.run(process.execPath, [name])
    } else if (block.language === 'sh') {
      await sandbox.run('bash', ['-euo', 'pipefail', '-c', block.text])
    } else if (block.language === 'jsonl') {
      const tokenizer = await loadTokenizer(join(sandbox.directory, 'model'))
      const lines = block.text.split('\n')
      for (const line of lines) {
        const { examples } = await prepareDataset([JSON.parse(line)], tokenizer, { maxLength: 512 })
        expect(examples, line).toHaveLength(1)
      }
    } else if (block.language === 'yaml') {
      const kind = Object.entries(YAML_FILES).find(([mark]) => block.marks.includes(mark))
      if (kind) await kind[1](parse(block.text))
      else expect(resolveAllOptions(parse(block.text))).toHaveProperty('model')
    } else {
      expect(JSON.parse(block.text)).toBeTypeOf('object')
    }
  })
})

function isRun({ language, marks }: Block): boolean {
  return !['text', 'mermaid'].includes(language) && !marks.some((mark) => NOT_RUN.includes(mark))
}

function toJavaScript(program: string): string {
  return ts.transpileModule(program, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  }).outputText
}

function nameOf({ page, line }: Block): string {
  return `${page.replace(/\W+/g, '-').toLowerCase()}-${line}`
}

/** The program of a block, behind those that it goes on with. */
function programOf(block: Block): string {
  if (!block.marks.includes('continued')) return block.text
  const before = programs.filter(({ page, line }) => page === block.page && line < block.line).at(-1)
  if (!before) throw new Error(`${block.page}:${block.line} goes on with a program that is not there`)
  return `${programOf(before)}\n${block.text}`
}
