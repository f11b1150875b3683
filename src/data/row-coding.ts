/** @file How rows become items: what an objective says of its data. */

import type { ChatRenderer } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Steps } from '../turns.js'
import { type EncodedRow, type EncodeRowOptions, type Example, encodeRowSteps } from './examples.js'
import type { Item } from './items.js'
import { type DataRow, recognizeSteps } from './row-forms.js'
import type { RowOrigin } from './row-origin.js'
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
  /** @throws naming the row where it is none that the objective takes */
  recognize(value: unknown, origin: RowOrigin): Steps<RecognizedRow>
  /** @param row one that `recognize` gave. @throws naming the row, as `encodeRow` */
  encode(row: RecognizedRow, context: CodingContext): Steps<EncodedItem<I>>
}

/** Each row is one sequence. */
export const ONE_SEQUENCE: RowCoding<Example> = {
  recognize: recognizeSteps,
  *encode(row: DataRow, { tokenizer, renderer, options }) {
    const { example, ...became } = yield* encodeRowSteps(row, tokenizer, renderer, options)
    return { item: example, ...became, unusual: yield* unusualSteps(row) }
  },
}
