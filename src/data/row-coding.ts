/** @file How rows become items: what an objective says of its data. */

import type { ChatRenderer } from '../tokenizer/chat-template.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Steps } from '../turns.js'
import { type EncodedRow, type EncodeRowOptions, type Example, encodeRowSteps } from './examples.js'
import type { Item } from './items.js'
import type { DataRow } from './row-forms.js'

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
}

export interface RowCoding<I extends Item> {
  /** @throws naming the row, for one that the objective does not take and as `encodeRow` */
  encode(row: DataRow, context: CodingContext): Steps<EncodedItem<I>>
}

/** Each row is one sequence. */
export const ONE_SEQUENCE: RowCoding<Example> = {
  *encode(row, { tokenizer, renderer, options }) {
    const { example, ...became } = yield* encodeRowSteps(row, tokenizer, renderer, options)
    return { item: example, ...became }
  },
}
