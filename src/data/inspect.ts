/**
 * @file Rows as training sees them: every token, and what the loss counts of it. Rows of objectives other
 * than supervised fine-tuning are shown too.
 */

import { IGNORE_INDEX } from '../architecture/ragged-batch.js'
import type { DataError } from '../lowrank-error.js'
import { callback, integer } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import type { DroppedPart } from '../tokenizer/dropped-parts.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { type Steps, Turns } from '../turns.js'
import { type OnBadRow, orBad } from './bad-rows.js'
import { chatRenderer } from './chat-renderer.js'
import { Columns } from './columns.js'
import { DroppedContent } from './dropped-content.js'
import { encodeRowSteps } from './examples.js'
import type { OtherContent, SequenceContent } from './forms/row-form.js'
import { DATA_OPTIONS, type DataOptions, expectConsistent, withPresentNames } from './options.js'
import { type DataRow, recognizeSteps, type SequenceRow } from './row-forms.js'
import { describeOrigin, type RowOrigin } from './row-origin.js'
import { readRows } from './rows.js'
import { type DataSource, openSource } from './sources/open-source.js'
import type { ReadContext, RowSource } from './sources/row-source.js'
import { type UnusualKind, unusualSteps } from './unusual-rows.js'

/** What becomes one sequence of a batch. */
export interface InspectedSequence {
  /** `chosen` or `rejected` of a pair; undefined for a row of one sequence. */
  readonly name?: string
  /** All tokens, those beyond `maxLength` included. */
  readonly inputIds: Int32Array
  /** What the loss counts of each token: 0 is not learnt, 1 is the usual weight. */
  readonly weights: Float32Array
  /** Tokens that training sees; those behind them are cut. */
  readonly keptTokens: number
}

/** A row and what becomes of it. */
export interface InspectedRow {
  /** As errors call it: `train.jsonl:17`. */
  readonly origin: string
  readonly form: string
  /** What the row is for where that is not supervised fine-tuning: `DPO`. */
  readonly objective?: string
  readonly sequences: readonly InspectedSequence[]
  /** Messages of a conversation; undefined for other rows. */
  readonly messages?: number
  /** What the chat template left out. */
  readonly dropped: readonly DroppedPart[]
  readonly unusual: readonly UnusualKind[]
  readonly ignoredColumns: readonly string[]
}

export interface InspectOptions extends Omit<DataOptions, 'evalSplit'> {
  /**
   * Rows of the model's embedding; a larger token id is an error naming token and row.
   * @default none: ids are not checked
   */
  vocabSize?: number
  /**
   * Aborts the work; it rejects with the signal's reason.
   * @default none
   */
  signal?: AbortSignal
  /**
   * Told of each row that `onError: 'skip'` leaves out.
   * @default none
   */
  onSkippedRow?: (error: DataError) => void
}

const { evalSplit: _, ...ROW_OPTIONS } = DATA_OPTIONS

/** The options of `inspectDataset`. */
export const INSPECT_OPTIONS = {
  ...ROW_OPTIONS,
  vocabSize: {
    rule: integer({ min: 1 }),
    otherwise: 'none: ids are not checked',
    help: "rows of the model's embedding; a larger token id is an error",
  },
  signal: SIGNAL,
  onSkippedRow: { rule: callback, otherwise: 'none', help: 'told of each row that is skipped' },
} as const satisfies OptionTable<InspectOptions>

/** What rows of other objectives are for. */
const OBJECTIVES: Readonly<Record<OtherContent['form'], string>> = {
  preference: 'DPO',
  labelled: 'KTO',
  stepwise: 'a process reward model',
  classification: 'sequence classification',
  prompt: 'GRPO',
}

/**
 * Reads rows one by one and shows each as training sees it. The first row comes before the second is read.
 *
 * @param onFraction Told the share of the data that has been read, from 0 to 1, where its size is known.
 * @throws DataError for a row with a defect, with file and row
 */
export async function* inspectDataset(
  source: DataSource,
  tokenizer: Tokenizer,
  options: InspectOptions = {},
  onFraction: (fraction: number) => void = () => {},
): AsyncGenerator<InspectedRow> {
  for await (const { inspected } of inspectRows(source, tokenizer, options, onFraction)) yield inspected
}

/** A row, what it says, and what becomes of it. */
export interface RowWithContent {
  /** The row as its source has it, by its own names of columns. */
  readonly value: unknown
  readonly row: DataRow
  /** What each of the sequences is made of. */
  readonly contents: readonly SequenceContent[]
  readonly inspected: InspectedRow
}

/** `inspectDataset` with the content of the rows. */
export async function* inspectRows(
  source: DataSource,
  tokenizer: Tokenizer,
  options: InspectOptions,
  onFraction: (fraction: number) => void,
): AsyncGenerator<RowWithContent> {
  const { vocabSize, signal, onError, onSkippedRow, ...resolved } = readOptions(
    'data',
    withPresentNames('data', options),
    INSPECT_OPTIONS,
  )
  expectConsistent('data', resolved)
  const { maxLength, rowForm } = resolved
  const renderer = chatRenderer(tokenizer, resolved.chatTemplate)
  // The whole row is shown: the mask does not depend on where it is cut.
  const encoding = { ...resolved, vocabSize, maxLength: Number.POSITIVE_INFINITY, droppedContent: new DroppedContent() }
  const turns = new Turns(signal)
  const onBadRow: OnBadRow | undefined = onError === 'skip' ? (error) => onSkippedRow?.(error) : undefined
  const reading: ReadContext = {
    signal,
    turns,
    onFraction,
    onLineage: () => {},
    needsHash: false,
    ...(onBadRow && { onBadRow }),
  }
  const recognize = (value: unknown, origin: RowOrigin) => recognizeSteps(value, origin, rowForm)
  const given = openSource(source)
  let value: unknown
  // A row is used before the next one is read.
  const remembering: RowSource = {
    name: given.name,
    async *rows(context) {
      for await (const row of given.rows(context)) {
        value = row.value
        yield row
      }
    },
  }
  function* inspectSteps(row: DataRow): Steps<RowWithContent> {
    const sequences: InspectedSequence[] = []
    const dropped: DroppedPart[] = []
    const unusual: UnusualKind[] = []
    const named = sequencesOf(row)
    for (const [name, sequence] of named) {
      const encoded = yield* encodeRowSteps(sequence, tokenizer, renderer, encoding)
      const { inputIds, labels, weights } = encoded.example
      dropped.push(...encoded.dropped)
      unusual.push(...(yield* unusualSteps(sequence)))
      sequences.push({
        ...(name !== undefined && { name }),
        inputIds,
        // Nothing predicts the first token.
        weights: Float32Array.from(labels, (label, at) =>
          at > 0 && label !== IGNORE_INDEX ? (weights?.[at] ?? 1) : 0,
        ),
        keptTokens: Math.min(inputIds.length, maxLength),
      })
    }
    const objective = Object.hasOwn(OBJECTIVES, row.form) ? OBJECTIVES[row.form as OtherContent['form']] : undefined
    const inspected = {
      origin: describeOrigin(row.origin),
      form: row.form,
      ...(objective !== undefined && { objective }),
      sequences,
      ...('messages' in row && { messages: row.messages.length }),
      dropped,
      unusual,
      ignoredColumns: row.ignoredColumns ?? [],
    }
    return { value, row, contents: named.map(([, sequence]) => sequence), inspected }
  }
  for await (const row of readRows(remembering, new Columns(resolved.columns), recognize, reading)) {
    const found = await turns.run(orBad(inspectSteps(row), onBadRow))
    if (found !== undefined) yield found
    if (turns.isOver) await turns.next()
  }
}

/** The sequences of a row, by name where there are several. */
function sequencesOf(row: DataRow): [name: string | undefined, sequence: SequenceRow][] {
  const { origin } = row
  const sequence = (content: SequenceContent): SequenceRow => ({ origin, ...content })
  switch (row.form) {
    case 'preference':
      return [
        ['chosen', sequence(row.chosen)],
        ['rejected', sequence(row.rejected)],
      ]
    case 'labelled':
      return [[row.label ? 'good' : 'bad', sequence(row.answer)]]
    case 'stepwise': {
      const steps = row.completions.map((text) => ({ text, isLearnt: true }))
      return [[undefined, sequence({ form: 'segments', segments: [{ text: row.prompt, isLearnt: false }, ...steps] })]]
    }
    case 'classification':
      return [[`class ${row.label}`, sequence({ form: 'segments', segments: [{ text: row.text, isLearnt: false }] })]]
    case 'prompt': {
      const { prompt } = row
      const content: SequenceContent =
        typeof prompt === 'string'
          ? { form: 'segments', segments: [{ text: prompt, isLearnt: false }] }
          : { form: 'messages', ...prompt }
      return [[undefined, sequence(content)]]
    }
    default:
      return [[undefined, row]]
  }
}
