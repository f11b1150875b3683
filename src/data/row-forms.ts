/**
 * @file Recognising what a row is by its columns, and checking these. The forms themselves are in `forms/`; what a row
 * becomes in tokens is in `examples.ts`, how rows are read in `rows.ts`.
 */

import { describeValue, listNames, nearestName } from '../errors.js'
import { runAtOnce, type Steps } from '../turns.js'
import { isObject } from '../values.js'
import { CONVERSATIONS, VERTEX } from './forms/conversations.js'
import { MARKED_FORMS, PREFERENCES } from './forms/preferences.js'
import {
  type Columns,
  has,
  isFilled,
  type RowContent,
  type RowForm,
  type RowFormName,
  type SequenceContent,
} from './forms/row-form.js'
import { FURTHER_TEXTS, TEXTS } from './forms/texts.js'
import { TOKENS } from './forms/tokens.js'
import { describeOrigin, type RowOrigin, rowError } from './row-origin.js'
import { isPresent, weightValue } from './row-values.js'

/** A row whose form is known and whose columns have been checked. */
export type DataRow = RowPlace & RowContent

/** A row that becomes one sequence. */
export type SequenceRow = RowPlace & SequenceContent

interface RowPlace {
  origin: RowOrigin
  ignoredColumns?: readonly string[]
  /** What each of its tokens counts; default 1. */
  weight?: number
}

/**
 * The forms of rows. A row that fits several has the first of them. The names that the option `columns` knows, and what
 * counts as an ignored column come from here.
 */
const ROW_FORMS: readonly RowForm[] = [
  ...MARKED_FORMS,
  ...CONVERSATIONS,
  ...TEXTS,
  ...FURTHER_TEXTS,
  VERTEX,
  TOKENS,
  ...PREFERENCES,
]

/** Columns of the forms that rows mostly have: a list of all would hide what is missing. */
const USUAL_FORMS = [...CONVERSATIONS, ...TEXTS]

/** `messages, conversations, prompt and completion, instruction and output, or text` */
const USUAL_COLUMNS = alternatives(USUAL_FORMS)

function alternatives(forms: readonly RowForm[]): string {
  const columns = new Set(forms.map((form) => form.columns.join(' and ')))
  return new Intl.ListFormat('en', { type: 'disjunction' }).format(columns)
}

/** What a row of any form counts in the loss. Many sets have a column `weight` that means something else. */
const ROW_WEIGHT = 'row_weight'

/** Every column that some form knows. */
export const FORM_COLUMNS: readonly string[] = [
  ...new Set([...ROW_FORMS.flatMap(({ columns, optional }) => [...columns, ...optional]), ROW_WEIGHT]),
]

const MEDIA_COLUMNS = ['image', 'images', 'audio', 'audios', 'video', 'videos'] as const

/**
 * The form of one row: the first of the list that fits.
 *
 * @param rowForm The name of the form that the row must have. Default: whichever its columns tell.
 * @param origin What errors call the row, for example `train.jsonl:17`.
 * @throws DataError naming the row for one that is not an object, lacks the columns of every form, has one of the wrong
 * type, or has something that would be lost.
 */
export function recognizeRow(value: unknown, origin: RowOrigin, rowForm?: RowFormName): DataRow {
  return runAtOnce(recognizeSteps(value, origin, rowForm))
}

/** Whose options errors name: those of a run, or of a task. */
export type OptionOwner = 'training' | 'task'

/** `recognizeRow` for rows of any size. */
export function* recognizeSteps(
  value: unknown,
  origin: RowOrigin,
  rowForm?: RowFormName,
  owner: OptionOwner = 'training',
): Steps<DataRow> {
  const row = columnsOf(value, origin)
  for (const name of MEDIA_COLUMNS) {
    if (!isFilled(row[name])) continue
    throw rowError(
      origin,
      `[data] expected rows of text, got ${name} in ${describeOrigin(origin)}: ${describeValue(row[name])}; leave the row out, or the column`,
    )
  }
  const lists = Object.values(row).filter(
    (value) => Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string'),
  )
  if (lists.length > 1 && lists.length === Object.keys(row).length) {
    throw rowError(
      origin,
      `[data] expected a row in ${describeOrigin(origin)}, got lists of strings under ${listNames(Object.keys(row))}, as tables by columns have ` +
        'them; write one object per row',
    )
  }
  const form = formOf(row, rowForm)
  if (form !== undefined) {
    const isUsed = (name: string): boolean =>
      name === ROW_WEIGHT || form.columns.includes(name) || form.optional.includes(name)
    const ignored = Object.keys(row).filter((name) => !isUsed(name) && isPresent(row[name]))
    const weight = isPresent(row[ROW_WEIGHT]) ? weightValue(row[ROW_WEIGHT], ROW_WEIGHT, origin) : undefined
    return {
      origin,
      ...(yield* form.read(row, origin)),
      ...(weight !== undefined && { weight }),
      ...(ignored.length > 0 && { ignoredColumns: ignored }),
    }
  }
  const empty = Object.keys(row).filter((name) => row[name] === null)
  // A row of a table has all columns: what it lacks is a value, not a name.
  const lacksValues = formOf({ ...row, ...Object.fromEntries(empty.map((name) => [name, ''])) }, rowForm) !== undefined
  throw rowError(
    origin,
    `[data] expected the columns ${rowForm === undefined ? USUAL_COLUMNS : columnsOfForm(rowForm)} in ${describeOrigin(origin)}, got ` +
      `${listNames(Object.keys(row)) || 'no columns'}${empty.length > 0 ? ` (null: ${listNames(empty)})` : ''}; ${lacksValues ? valuesRemedy(owner) : remedyFor(row, owner)}`,
  )
}

/** The first form that a row has, or the first of that name. */
function formOf(row: Columns, rowForm?: RowFormName): RowForm | undefined {
  const fitting = ROW_FORMS.filter(
    ({ name, isNamed, columns }) =>
      (rowForm === undefined ? isNamed !== true : name === rowForm) && columns.every((column) => has(row, column)),
  )
  const matching = fitting.find(({ matches }) => matches?.(row) !== false)
  return matching ?? (rowForm === undefined ? undefined : fitting[0])
}

function columnsOfForm(rowForm: RowFormName): string {
  const forms = ROW_FORMS.filter(({ name }) => name === rowForm)
  return `${alternatives(forms)} of rowForm ${describeValue(rowForm)}`
}

function valuesRemedy(owner: OptionOwner): string {
  const place = owner === 'task' ? 'of the task' : '(--set training.onError=skip)'
  return `write values in place of null, or leave out such rows with onError: 'skip' ${place}`
}

/** What to do with a row of no form: some files hold their rows within one object. */
function remedyFor(row: Columns, owner: OptionOwner): string {
  const entries = Object.entries(row)
  const list = entries.find(([, value]) => Array.isArray(value) && value.length > 0 && value.every(isObject))
  if (list !== undefined && entries.length < MOST_BESIDE_ROWS && !CONVERSATION_COLUMNS.has(list[0]))
    return `where ${describeValue(list[0])} holds the rows, write that list alone into the file`
  if (entries.length > 1 && entries.every(([, value]) => isObject(value)))
    return 'where its values are the rows, write them as a JSON array, or each on a line of its own'
  const known = ROW_FORMS.filter(({ isNamed }) => isNamed !== true).flatMap(({ columns }) => columns)
  for (const [name] of entries) {
    const nearest = known.includes(name) ? undefined : nearestName(name, known)
    if (nearest !== undefined && !has(row, nearest)) return `did you mean ${nearest} for ${describeValue(name)}?`
  }
  return (
    "rename the columns, or map them, as with columns: { prompt: 'question', completion: 'answer' } " +
    (owner === 'task' ? 'of the task' : '(--set training.columns.prompt=question)')
  )
}

// Names under which a list of objects is a conversation that is called by another name.
const CONVERSATION_COLUMNS: ReadonlySet<string> = new Set([
  'conversation',
  'dialog',
  'dialogue',
  'chat',
  'turns',
  'history',
])
// A file that wraps its rows says little beside them: a version, a name.
const MOST_BESIDE_ROWS = 8

function columnsOf(value: unknown, origin: RowOrigin): Columns {
  // Only the columns of a row count, not their order.
  if (value instanceof Map)
    return Object.assign(Object.create(null) as Columns, Object.fromEntries(value as Map<string, unknown>))
  if (isObject(value)) return value
  throw rowError(
    origin,
    `[data] expected an object for each row, got ${describeValue(value)} in ${describeOrigin(origin)}`,
  )
}
