/**
 * @file Rows in another order while they come: what a stage needs of them is held in memory, and no more. Which row
 * comes when depends on the rows and the seed alone, never on how fast they come.
 */

import type { Random } from '../random.js'

/**
 * Another order of rows, made in a buffer, as `shuffle(seed, buffer_size)` of the package datasets makes it: once the
 * buffer is full, each row takes the place of one that is drawn from it. At the end the rows in it come in any order.
 * With a buffer that holds all rows each order is as likely.
 */
export async function* shuffledThrough<T>(
  rows: AsyncIterable<T>,
  bufferSize: number,
  random: Random,
): AsyncGenerator<T> {
  const held: T[] = []
  for await (const row of rows) {
    if (held.length < bufferSize) {
      held.push(row)
      continue
    }
    const at = random.below(bufferSize)
    const drawn = held[at] as T
    held[at] = row
    yield drawn
  }
  yield* random.shuffle_(held)
}

/** Lists of so many, the last one of what is left. */
export async function* chunksOf<T>(rows: AsyncIterable<T>, size: number): AsyncGenerator<T[]> {
  let chunk: T[] = []
  for await (const row of rows) {
    chunk.push(row)
    if (chunk.length < size) continue
    yield chunk
    chunk = []
  }
  if (chunk.length > 0) yield chunk
}

/** Lists of rows whose tokens together are at most `capacity`: one ends where the next row would not fit. */
export async function* filledWith<T extends { readonly tokens: number }>(
  rows: AsyncIterable<T>,
  capacity: number,
): AsyncGenerator<T[]> {
  let chunk: T[] = []
  let tokens = 0
  for await (const row of rows) {
    if (chunk.length > 0 && tokens + row.tokens > capacity) {
      yield chunk
      chunk = []
      tokens = 0
    }
    chunk.push(row)
    tokens += row.tokens
  }
  if (chunk.length > 0) yield chunk
}
