/** @file Puts the results of an evaluation into a model card that is there. */

import { join } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import { loadPeer } from '../data/load-peer.js'
import { describeValue, expectPath } from '../errors.js'
import { metadataText } from '../hub/card-text.js'
import { CARD_FILE } from '../hub/model-files.js'
import { type IndexedResult, modelIndex } from '../hub/model-index.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { textOf } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { readRegularFile } from '../regular-file.js'
import { isObject } from '../values.js'
import type { EvaluationReport } from './evaluation-report.js'
import { reportResults, reportSection } from './report-card.js'

/** How `updateModelCard` reads a report. */
export interface UpdateCardOptions {
  /**
   * The model of the report that the card is about, by its name there.
   * @default the one that is compared with the first, or the only one
   */
  model?: string
}

/** The options of `updateModelCard`. */
export const UPDATE_CARD_OPTIONS = {
  model: {
    rule: textOf('the name of a model of the report'),
    otherwise: 'the one that is compared with the first, or the only one',
    help: 'the model of the report that the card is about, by its name there',
  },
} as const satisfies OptionTable<UpdateCardOptions>

const LARGEST_CARD = 10 * 2 ** 20
const HEADER = /^(\ufeff?\s*---[ \t]*\r?\n)(.*?\r?\n|)(---[ \t]*(?:\r?\n|$))/s
/** Where the section stands, so that the next report takes its place. */
const BEGIN = '<!-- lowrank: evaluation -->'
const END = '<!-- lowrank: end of evaluation -->'

/**
 * Puts what an evaluation found into README.md of an adapter or a model: results in the header, as the Hub shows them,
 * and a table. Results of the same task and data set that the header has are replaced, others stay; a table of an
 * earlier report is replaced. Everything else of the card stays as it is.
 * @param directory of the adapter or the model
 * @throws OptionError where it is not clear which model of the report the card is about
 * @throws LowrankError where there is no card, or its header is no YAML
 */
export async function updateModelCard(
  directory: string,
  report: EvaluationReport,
  options: UpdateCardOptions = {},
): Promise<void> {
  expectPath('card', 'directory', directory)
  const subject = readOptions('card', options, UPDATE_CARD_OPTIONS)
  expectReport(report)
  const path = join(directory, CARD_FILE)
  const card = (await readRegularFile(path, { where: 'card', limit: LARGEST_CARD })).toString()
  const results = reportResults(report, subject)
  const header = await headerWith(card, results, path)
  const body = card.replace(HEADER, '')
  await writeFileAtomic(path, `${header}${bodyWith(body, reportSection(report, subject))}`)
}

function expectReport(report: EvaluationReport): void {
  const { version, models, tasks } = isObject(report) ? report : ({} as Partial<EvaluationReport>)
  if (version === 1 && Array.isArray(models) && Array.isArray(tasks)) return
  throw new OptionError(
    `[card] expected an evaluation report of version 1 for report, got ${describeValue(report)}; give what evaluate() gives`,
  )
}

async function headerWith(card: string, results: readonly IndexedResult[], path: string): Promise<string> {
  const { parseDocument, isMap, isNode } = await loadPeer<typeof import('yaml')>(
    'yaml',
    'to change the header of a model card',
  )
  const [, begin = '---\n', text = '', end = '---\n'] = HEADER.exec(card) ?? []
  const document = parseDocument(text)
  const [error] = document.errors
  const header: unknown = error ? undefined : document.toJS({ maxAliasCount: 100 })
  if (error || (header !== null && !isObject(header))) {
    const problem = error ? error.message.split('\n')[0] : describeValue(header)
    throw new LowrankError(
      'FILE',
      `[card] expected a mapping of YAML between the lines --- of ${path}, got ${problem}; correct it`,
    )
  }
  const present: unknown = header?.['model-index']
  const first: unknown = Array.isArray(present) ? present[0] : undefined
  const name = isObject(first) && typeof first.name === 'string' ? first.name : 'model'
  const known: readonly unknown[] = isObject(first) && Array.isArray(first.results) ? first.results : []
  const kept = known.filter((result) => !results.some((entry) => isSame(entry, result))) as IndexedResult[]
  const index = modelIndex(name, [...kept, ...results])
  if (index === undefined) return `${begin}${text}${end}`
  const added = { 'model-index': [index[0], ...(Array.isArray(present) ? present.slice(1) : [])] }
  const { contents } = document
  // In braces a header has no lines of its own for a key.
  if (isMap(contents) && contents.flow) return `${begin}${metadataText({ ...header, ...added })}${end}`
  const pair = isMap(contents) ? contents.items.find(({ key }) => String(key) === 'model-index') : undefined
  const from = isNode(pair?.key) ? pair.key.range?.[0] : undefined
  const to = isNode(pair?.value) ? pair.value.range?.[2] : undefined
  const others = from === undefined ? text : `${text.slice(0, from)}${to === undefined ? '' : text.slice(to)}`
  return `${begin}${others.replace(/[^\n]$/, '$&\n')}${metadataText(added)}${end}`
}

/** Whether a result is one of the same task on the same data set. */
function isSame({ task, dataset }: IndexedResult, other: unknown): boolean {
  if (!isObject(other) || !isObject(other.task) || !isObject(other.dataset)) return false
  return other.task.type === task.type && other.dataset.type === dataset.type && other.dataset.name === dataset.name
}

function bodyWith(body: string, section: string): string {
  const marked = `${BEGIN}\n\n${section}\n${END}\n`
  const start = body.indexOf(BEGIN)
  const end = body.indexOf(END, start)
  if (start === -1 || end === -1) return `${body.trimEnd()}\n\n${marked}`
  return `${body.slice(0, start)}${marked.trimEnd()}${body.slice(end + END.length)}`
}
