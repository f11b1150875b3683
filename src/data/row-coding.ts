/** @file How rows become items: what an objective says of its data. */

import type { ChatRenderer } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Steps } from '../turns.js'
import { type EncodedRow, type EncodeRowOptions, type Example, encodeRowSteps } from './examples.js'
import type { OtherContent, RowFormName } from './forms/row-form.js'
import type { Item } from './items.js'
import { type DataRow, type OptionOwner, recognizeSteps, type SequenceRow } from './row-forms.js'
import { describeOrigin, type RowOrigin, rowError } from './row-origin.js'
import { type UnusualKind, unusualSteps } from './unusual-rows.js'

/** A row whose form is known and whose columns have been checked. */
export interface RecognizedRow {
  readonly origin: RowOrigin
  readonly form: string
  readonly ignoredColumns?: readonly string[]
}

/** What a row is encoded with. */
export interface CodingContext {
  readonly tokenizer: Tokenizer
  /** For conversations. */
  readonly renderer: ChatRenderer
  readonly options: EncodeRowOptions
}

/** An item and what became of its row. */
export interface EncodedItem<I extends Item> extends Omit<EncodedRow, 'example'> {
  readonly item: I
  readonly unusual: readonly UnusualKind[]
}

export interface RowCoding<I extends Item> {
  /**
   * The module that exports this coding, and under which name: how other threads find it.
   * @default none: no other thread encodes
   */
  readonly exported?: { readonly module: string; readonly name: string }
  /** @throws naming the row where it is none that the objective takes */
  recognize(value: unknown, origin: RowOrigin, rowForm?: RowFormName, owner?: OptionOwner): Steps<RecognizedRow>
  /** @param row one that `recognize` gave. @throws naming the row, as `encodeRow` */
  encode(row: RecognizedRow, context: CodingContext): Steps<EncodedItem<I>>
}

/** Each row is one sequence. */
export const ONE_SEQUENCE: RowCoding<Example> = {
  exported: { module: import.meta.url, name: 'ONE_SEQUENCE' },
  *recognize(value: unknown, origin: RowOrigin, rowForm?: RowFormName, owner?: OptionOwner) {
    const row = yield* recognizeSteps(value, origin, rowForm, owner)
    expectSequence(row)
    return row
  },
  *encode(row: SequenceRow, { tokenizer, renderer, options }) {
    const { example, ...became } = yield* encodeRowSteps(row, tokenizer, renderer, options)
    return { item: example, ...became, unusual: yield* unusualSteps(row) }
  },
}

/** What rows of other objectives are, whose they are, and what makes rows to learn of them. */
const OTHER_FORMS: Readonly<Record<OtherContent['form'], readonly [what: string, objective: string, remedy: string]>> =
  {
    preference: ['preferences', 'DPO', 'write what was chosen as messages, or as prompt and completion'],
    labelled: [
      'answers that are labelled as good or bad',
      'KTO',
      'keep the rows whose label is true, and remove the column',
    ],
    stepwise: ['steps that are labelled', 'a process reward model', 'join the steps that are right to a completion'],
    prompt: ['prompts without an answer', 'GRPO', 'give each an answer, as prompt and completion'],
    classification: ['texts with a class', 'sequence classification', 'write the class as the completion of a prompt'],
  }

/** @throws naming the objective that a row is for where it is none of supervised fine-tuning */
function expectSequence(row: DataRow): asserts row is SequenceRow {
  if (!Object.hasOwn(OTHER_FORMS, row.form)) return
  const [what, objective, remedy] = OTHER_FORMS[row.form as OtherContent['form']]
  throw rowError(
    row.origin,
    `[sft] expected rows of texts or conversations to learn, got ${what} in ${describeOrigin(row.origin)}, which are for ${objective}; ${remedy}`,
  )
}
