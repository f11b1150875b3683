/** @file Imports only point down: layers.json lists the floors of src/ from top to bottom. */

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SOURCE = join(ROOT, 'src')
/** The only files that stand above all floors. They re-export the public API. */
const ENTRIES = ['index.ts', 'databricks.ts', 'hosted.ts', 'mlflow.ts', 'notebook.ts', 'testing.ts', 'tfjs.ts']

type Floors = readonly Readonly<Record<string, string>>[]

const FLOORS = JSON.parse(readFileSync(join(ROOT, 'layers.json'), 'utf8')) as Floors

/** Folders that lie in others and have a floor of their own: `databricks/client`. */
const NESTED = FLOORS.flatMap((floor) => Object.keys(floor)).filter((folder) => folder.includes('/'))

/** Folder of a file of src/, as layers.json names it; '.' for the files of src/ itself. */
function folderOf(file: string): string {
  const nested = NESTED.find((folder) => file.startsWith(`${folder}/`))
  return nested ?? (file.includes('/') ? (file.split('/')[0] as string) : '.')
}

/** The files, by their path below src/, which `file` imports. Types count too. */
function importsOf(file: string, text: string): string[] {
  const specifiers = text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'(\.[^']+)'/g)
  return [...specifiers].map(([, specifier]) => {
    const path = resolve(SOURCE, dirname(file), specifier as string)
    return relative(SOURCE, path).split(sep).join('/').replace(/\.js$/, '.ts')
  })
}

/** What is wrong with the imports of one file, a line for each. */
function mistakes(floors: Floors, file: string, text: string): string[] {
  const floorOf = (folder: string): number => floors.findIndex((floor) => Object.hasOwn(floor, folder))
  const from = folderOf(file)
  return importsOf(file, text).flatMap((target) => {
    const to = folderOf(target)
    const imports = `src/${file} imports src/${target}`
    if (ENTRIES.includes(target)) return [`${imports}: only users of the package import it`]
    if (ENTRIES.includes(file)) return to === 'cli' ? [`${imports}: the library does without the command line`] : []
    if (floorOf(to) === -1) return [`${imports}: layers.json has no floor for ${to}`]
    if (from === to || floorOf(to) > floorOf(from)) return []
    const relation = floorOf(to) === floorOf(from) ? 'the same floor as' : 'a floor above'
    return [`${imports}: ${to} is on ${relation} ${from}, and imports only point down (layers.json)`]
  })
}

const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .map((file) => file.split(sep).join('/'))
  .filter((file) => file.endsWith('.ts'))

describe('layers', () => {
  test('no import of src/ points up', () => {
    expect(files.flatMap((file) => mistakes(FLOORS, file, readFileSync(join(SOURCE, file), 'utf8')))).toEqual([])
  })

  test('layers.json names every folder of src/ once, and no other', () => {
    const named = FLOORS.flatMap((floor) => Object.keys(floor))
    expect(named.toSorted()).toEqual([...new Set(files.map(folderOf))].toSorted())
  })

  test.each([
    ['data/rows.ts', "import { trainLora } from '../train/train-lora.js'", 'train is on a floor above data'],
    ['data/rows.ts', "import type { X } from '../adapters/merge.js'", 'adapters is on the same floor as data'],
    ['errors.ts', "const { x } = await import('./tensor/device.js')", 'tensor is on a floor above .'],
    ['cli/train.ts', "import { x } from '../index.js'", 'only users of the package import it'],
    ['mlflow.ts', "export { x } from './cli/main.js'", 'the library does without the command line'],
    ['index.ts', "export { x } from './cli/main.js'", 'the library does without the command line'],
    ['data/rows.ts', "import { x } from '../nowhere/x.js'", 'layers.json has no floor for nowhere'],
  ])('an import of %s that reads "%s" is a mistake', (file, text, message) => {
    expect(mistakes(FLOORS, file, text)).toEqual([expect.stringContaining(message)])
  })

  test.each([
    ['train/trainer.ts', "import { x } from '../data/rows.js'"],
    ['tokenizer/jinja/text.ts', "import { x } from '../../errors.js'"],
    ['index.ts', "export { trainLora } from './train/train-lora.js'"],
  ])('an import of %s that reads "%s" is none', (file, text) => {
    expect(mistakes(FLOORS, file, text)).toEqual([])
  })
})
