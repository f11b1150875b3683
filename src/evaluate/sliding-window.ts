/**
 * @file Texts of any length in windows, as https://huggingface.co/docs/transformers/perplexity: each token is scored
 * once, with what its window has before it.
 */

import { IGNORE_INDEX } from '../architecture/ragged-batch.js'
import type { Example } from '../data/examples.js'
import { recognizeSteps } from '../data/row-forms.js'
import { describeOrigin, type RowOrigin, rowError } from '../data/row-origin.js'
import { OptionError } from '../lowrank-error.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Steps } from '../turns.js'
import { type ReadRow, readTaskRows, type TaskRows } from './read-task-rows.js'
import type { TaskRow } from './task.js'
import type { ResolvedPerplexityTask } from './task-options.js'

/** A window of a text. */
export interface Window extends TaskRow {
  readonly example: Example
  /**
   * What the log probabilities count. The recipe takes the mean over all of a window's scored tokens, and counts one
   * token less: of the first window that is what it has, of each later one it is one token fewer.
   */
  readonly share: number
}

/** A text and where it is. */
interface WholeText {
  readonly text: string
  readonly origin: string
}

/** @throws DataError for rows that are no plain text */
export async function slidingWindows(
  where: string,
  task: ResolvedPerplexityTask & { readonly stride: number },
  maxLength: number,
  tokenizer: Tokenizer,
  signal: AbortSignal | undefined,
): Promise<TaskRows<Window>> {
  if (task.stride > maxLength) {
    throw new OptionError(
      `[${where}] expected a stride of at most maxLength ${maxLength}, so that each token is in a window, got ${task.stride}; lower stride`,
    )
  }
  function* read(value: unknown, origin: RowOrigin): Steps<ReadRow<WholeText>> {
    const row = yield* recognizeSteps(value, origin, task.rowForm, 'task')
    const place = describeOrigin(origin)
    if (row.form !== 'text')
      throw rowError(
        origin,
        `[${where}] expected rows of plain text for stride, got ${row.form} in ${place}; leave stride out, or name the column of the text: ` +
          "columns: { text: 'content' }",
      )
    return row.text === '' ? { leftOut: 'emptyText' } : { row: { text: row.text, origin: place } }
  }
  const found = await readTaskRows(where, task, read, { emptyText: 'left out: their text is empty' }, signal)
  const texts = task.joinTexts === undefined ? found.rows : [joined(found.rows, task.joinTexts)]
  const rows: Window[] = []
  for (const { text, origin } of texts) {
    signal?.throwIfAborted()
    for (const { begin, example, share } of windowsOf(tokenizer.encode(text), maxLength, task.stride)) {
      const prompt = tokenizer.decode(Array.from(example.inputIds), { skipSpecialTokens: true })
      rows.push({ index: rows.length, origin: `${origin}, token ${begin}`, prompt, example, share })
    }
  }
  return { ...found, rows }
}

function joined(texts: readonly WholeText[], separator: string): WholeText {
  return { text: texts.map(({ text }) => text).join(separator), origin: 'all texts' }
}

/** The windows of a text of which at least one token counts. */
export function windowsOf(
  ids: readonly number[],
  maxLength: number,
  stride: number,
): { begin: number; example: Example; share: number }[] {
  const windows: { begin: number; example: Example; share: number }[] = []
  let scored = 0
  for (let begin = 0; begin < ids.length; begin += stride) {
    const end = Math.min(begin + maxLength, ids.length)
    const inputIds = Int32Array.from(ids.slice(begin, end))
    const labels = inputIds.slice().fill(IGNORE_INDEX, 0, Math.max(0, scored - begin))
    const valid = end - Math.max(scored, begin)
    // Nothing predicts the first token of a window.
    const numSupervised = scored > begin ? valid : valid - 1
    const counted = valid - 1
    if (numSupervised > 0 && counted > 0)
      windows.push({
        begin,
        example: { inputIds, labels, numSupervised, promptLength: 0 },
        share: counted / numSupervised,
      })
    scored = end
    if (end === ids.length) break
  }
  return windows
}
