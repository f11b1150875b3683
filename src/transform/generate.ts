/**
 * @file Pairs of question and answer from texts, written by a model behind an endpoint. Rows are worked on at the same
 * time and written in their order. Every reply is kept, so that a run which ends early loses nothing that was paid for.
 */

import { describeOrigin, type RowOrigin } from '../data/row-origin.js'
import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import type { EndpointUsage } from '../openai/allowance.js'
import { EndpointError } from '../openai/endpoint-error.js'
import { OpenAIClient } from '../openai/openai-client.js'
import { ReplyJournal } from '../openai/reply-journal.js'
import { type Resolved, readOptions } from '../options/table.js'
import { Asker, type ReplyCounts } from './generate-asker.js'
import { GENERATE_DATASET_OPTIONS, type GenerateDatasetOptions } from './generate-options.js'
import { type Pair, pairsOfRow, type RowPairs } from './generate-pairs.js'
import { Prompts, textOfRow } from './generate-prompts.js'
import { type Columns, type InputRow, NamedColumns, presentValue, readInput } from './input.js'
import { writeRowsAtomic } from './output.js'

/** The options of `generateDataset` with their defaults. */
export type ResolvedGenerate = Resolved<GenerateDatasetOptions, typeof GENERATE_DATASET_OPTIONS>

/**
 * What became of rows and pairs: `read` is `rows` and all of `skipped` together, `drafted` is `written` and all of
 * `dropped`.
 */
export interface GenerateReport {
  readonly output: string
  /** File of the replies: with it the same work costs nothing again. */
  readonly replies: string
  /** Rows that were read. */
  readonly read: number
  /** Rows about which there were questions. */
  readonly rows: number
  /** Rows that were left out, by reason. */
  readonly skipped: Readonly<Record<string, number>>
  /** Questions that were drafted. */
  readonly drafted: number
  /** Pairs that were written. */
  readonly written: number
  /** Questions without a pair, by reason. */
  readonly dropped: Readonly<Record<string, number>>
  /** Times that a question or an answer was made better. */
  readonly improved: number
  /** What became of replies. */
  readonly received: ReplyCounts
  /** Requests of this run, with their tokens; `cost` includes what earlier runs paid for the replies that they kept. */
  readonly usage: EndpointUsage
}

/** Columns of `splitDocuments` that say where a text is from. */
const PROVENANCE = ['document', 'sha256', 'chunk', 'page', 'last_page', 'headings'] as const
/** Rows that are worked on, for each request that may be open: a row waits for its own requests one after the other. */
const ROWS_PER_REQUEST = 4
const PROGRESS_MS = 100

/**
 * Makes pairs of question and answer of the texts of rows: a question is drafted, judged and made better until it
 * reaches the threshold, and then its answer likewise. A row of the result has the pair, where its text is from
 * (`source`, `source_row` and the columns of `splitDocuments`), `model` and the scores.
 *
 * A run that was killed, or ended with an error, is continued by the same call: replies that it got are not asked for
 * again. The file takes its name once it is whole.
 *
 * @throws EndpointError where the endpoint does not reply, `maxCost` is reached, or no reply made a pair: their counts,
 * and the file that keeps them, are named, and nothing is written
 * @throws OptionError naming field, file and line of a file of prompts that is wrong
 * @throws DataError naming the row that cannot be read
 */
export async function generateDataset(options: GenerateDatasetOptions): Promise<GenerateReport> {
  const settled = readGenerateOptions(options)
  const { output, signal, fresh } = settled
  const prompts = await Prompts.read(settled.prompts)
  return await writeRowsAtomic(
    [output],
    async (write) => {
      // Beside a Delta table, not in it.
      const journal = await ReplyJournal.open(`${output.replace(/[/\\]+$/, '')}.replies`, fresh, 'generate')
      try {
        return await fill(settled, prompts, journal, (row) => write(0, row))
      } finally {
        await journal.close()
      }
    },
    { signal },
  )
}

async function fill(
  settled: ResolvedGenerate,
  prompts: Prompts,
  journal: ReplyJournal,
  write: (row: ReadonlyMap<string, unknown>) => Promise<void>,
): Promise<GenerateReport> {
  // What the journal holds was paid for at some time, and counts into the cap.
  const client = new OpenAIClient(settled, journal.tokens)
  const asker = new Asker(client, journal, settled)
  const work = new GenerateWork(settled, prompts, asker, client)
  try {
    await work.run(write)
  } catch (error) {
    asker.stop(error)
    await asker.drain()
    throw withProgress(error, journal, work.counts.rows)
  }
  const { output } = settled
  const report = { output, replies: journal.path, ...work.counts, received: asker.counts, usage: client.usage }
  expectPairs(report)
  return report
}

/** @throws EndpointError where all that the model replied made no pair: a file without rows looks like success */
function expectPairs({ written, output, replies, rows, read, skipped, dropped, received }: GenerateReport): void {
  const { received: came, reused, malformed, refused } = received
  if (written > 0 || came + reused === 0) return
  const told = (counts: Readonly<Record<string, number>>, what: string): readonly string[] =>
    Object.entries(counts).map(([name, number]) => `${number} ${what}${name}`)
  const why = [
    ...told(malformed, 'replies that were '),
    ...(refused > 0 ? [`${refused} replies that refused`] : []),
    ...told(skipped, 'rows left out: '),
    ...told(dropped, 'questions dropped: '),
  ]
  const isCut = (malformed['cut at maxTokens'] ?? 0) > 0
  const remedy = isCut
    ? 'raise maxTokens'
    : Object.keys(malformed).length > 0
      ? 'try another model or other prompts, since this one does not write the JSON that it is asked for'
      : refused > 0
        ? 'try another model or other prompts'
        : 'lower threshold, raise maxRounds, or try another model'
  throw new EndpointError(
    `[generate] expected pairs for ${output}, got none of ${came + reused} replies about ${rows} of ${read} rows (${why.join(', ')}); look at ` +
      `them in ${replies}, and ${remedy}`,
    { failure: 'reply' },
  )
}

/** @throws OptionError for options that do not fit together */
export function readGenerateOptions(options: GenerateDatasetOptions): ResolvedGenerate {
  const settled = readOptions('generate', options, GENERATE_DATASET_OPTIONS)
  const { reasoningColumn, keep, form, systemPrompt, maxCost, inputPrice, outputPrice } = settled
  const taken = [...OWN_COLUMNS, ...PROVENANCE]
  for (const [name, column] of [
    ...keep.map((kept) => ['keep', kept] as const),
    ['reasoningColumn', reasoningColumn] as const,
  ]) {
    if (column !== undefined && taken.includes(column))
      throw new OptionError(
        `[generate] expected another column than pairs have for ${name}, got ${describeValue(column)}; they have ${taken.join(', ')}`,
      )
  }
  if (systemPrompt !== undefined && form !== 'messages')
    throw new OptionError("[generate] expected form 'messages' where systemPrompt is given, got 'question-answer'")
  // Without a price every request is free, and no cap is ever reached.
  if (maxCost !== undefined && inputPrice === 0 && outputPrice === 0)
    throw new OptionError(
      `[generate] expected inputPrice or outputPrice above 0 where maxCost is given, got maxCost ${maxCost} and no price; give the prices ` +
        'of a million tokens, or leave maxCost out',
    )
  return settled
}

const OWN_COLUMNS: readonly string[] = [
  'question',
  'answer',
  'messages',
  'source',
  'source_row',
  'model',
  'question_score',
  'answer_score',
]

/** The error that ended the work, which says of an endpoint that what it replied is kept. */
function withProgress(error: unknown, { path, count }: ReplyJournal, rows: number): unknown {
  if (!(error instanceof EndpointError) || count === 0) return error
  const { message, failure, status, cause } = error
  return new EndpointError(
    `${message}. ${rows} rows are done, and ${count} replies are kept in ${path}: the same call goes on from there`,
    { failure, status, cause },
  )
}

/** The rows that are worked on, and what became of those that are done. */
class GenerateWork {
  readonly #options: ResolvedGenerate
  readonly #prompts: Prompts
  readonly #asker: Asker
  readonly #client: OpenAIClient
  readonly #skipped = new Map<string, number>()
  readonly #dropped = new Map<string, number>()
  #read = 0
  #rows = 0
  #drafted = 0
  #written = 0
  #improved = 0
  #fraction: number | undefined
  #told = Number.NEGATIVE_INFINITY

  constructor(options: ResolvedGenerate, prompts: Prompts, asker: Asker, client: OpenAIClient) {
    this.#options = options
    this.#prompts = prompts
    this.#asker = asker
    this.#client = client
  }

  get counts() {
    return {
      read: this.#read,
      rows: this.#rows,
      skipped: Object.fromEntries(this.#skipped),
      drafted: this.#drafted,
      written: this.#written,
      dropped: Object.fromEntries(this.#dropped),
      improved: this.#improved,
    }
  }

  async run(write: (row: ReadonlyMap<string, unknown>) => Promise<void>): Promise<void> {
    const { dataset, output, signal, concurrency } = this.#options
    const needed = this.#prompts.columns
    const named = new NamedColumns('generate', [
      ...this.#options.columns.map((column) => ['columns', column] as const),
      ...this.#options.keep.map((column) => ['keep', column] as const),
      ...needed.map((column) => ['prompts', column] as const),
    ])
    const onProgress = (_: number, fraction: number | undefined): void => {
      this.#fraction = fraction
    }
    const open: { readonly row: InputRow; readonly pairs: Promise<RowPairs> }[] = []
    const finish = async (): Promise<void> => {
      const first = open.shift()
      if (first === undefined) return
      await this.#finish(first.row, await first.pairs, write)
    }
    for await (const row of readInput(dataset, { signal, onProgress, outputs: [output] })) {
      named.see(row.columns)
      this.#read++
      const pairs = this.#pairsOf(row)
      // It is awaited in its turn; until then an error of it is no error that nobody handles.
      pairs.catch((error: unknown) => this.#asker.stop(error))
      open.push({ row, pairs })
      if (open.length >= ROWS_PER_REQUEST * concurrency) await finish()
    }
    named.expectAll()
    while (open.length > 0) await finish()
    this.#tell(true)
  }

  async #pairsOf({ columns, origin }: InputRow): Promise<RowPairs> {
    const text = textOfRow(columns, this.#options.columns)
    if (text === undefined) return { skipped: 'no text' }
    const lacking = this.#prompts.columns.find((column) => presentValue(columns, column) === undefined)
    if (lacking !== undefined) return { skipped: `no value for ${lacking}` }
    return await pairsOfRow({
      asker: this.#asker,
      prompts: this.#prompts,
      columns,
      text,
      name: describeOrigin(origin),
      options: this.#options,
    })
  }

  async #finish(
    { columns, origin }: InputRow,
    made: RowPairs,
    write: (row: ReadonlyMap<string, unknown>) => Promise<void>,
  ): Promise<void> {
    if ('skipped' in made) count(this.#skipped, made.skipped)
    else {
      this.#rows++
      this.#drafted += made.pairs.length + made.dropped.length
      this.#written += made.pairs.length
      this.#improved += made.improved
      for (const reason of made.dropped) count(this.#dropped, reason)
      for (const pair of made.pairs) await write(rowOf(pair, columns, origin, this.#options))
    }
    this.#tell(false)
  }

  #tell(isEnd: boolean): void {
    const { onProgress } = this.#options
    if (onProgress === undefined || (!isEnd && performance.now() - this.#told < PROGRESS_MS)) return
    this.#told = performance.now()
    const done = this.#rows + [...this.#skipped.values()].reduce((sum, rows) => sum + rows, 0)
    const { requests, cost } = this.#client.usage
    const fraction = this.#fraction === undefined ? undefined : (this.#fraction * done) / Math.max(1, this.#read)
    onProgress({ rows: done, fraction: isEnd ? 1 : fraction, pairs: this.#written, requests, cost })
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

/** A row of the result. */
function rowOf(
  { question, answer, reasoning, model, questionScore, answerScore }: Pair,
  columns: Columns,
  { file, line, row }: RowOrigin,
  { form, systemPrompt, reasoningColumn, keep }: ResolvedGenerate,
): ReadonlyMap<string, unknown> {
  const messages = [
    ...(systemPrompt === undefined ? [] : [{ role: 'system', content: systemPrompt }]),
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ]
  const kept = [...PROVENANCE.filter((name) => columns.has(name)), ...keep]
  return new Map<string, unknown>([
    ...(form === 'messages'
      ? [['messages', messages] as const]
      : ([
          ['question', question],
          ['answer', answer],
        ] as const)),
    ...(reasoningColumn === undefined ? [] : [[reasoningColumn, reasoning] as const]),
    ['source', file ?? null],
    ['source_row', line ?? row ?? null],
    ...kept.map((name) => [name, columns.get(name) ?? null] as const),
    ['model', model],
    ['question_score', questionScore],
    ['answer_score', answerScore],
  ])
}
