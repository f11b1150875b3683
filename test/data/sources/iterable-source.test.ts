/** @file Streams of objects and of bytes as data sets: their format, their errors, and that they are closed. */

import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { type DataSource, openSource } from '../../../src/data/sources/open-source.js'
import type { SourceRow } from '../../../src/data/sources/row-source.js'
import { readContext } from '../../support/read-rows.js'

const ROWS = [{ text: 'one' }, { text: 'zwei ä' }, { text: 'three' }]
const LINES = Buffer.from(`\ufeff${ROWS.map((row) => JSON.stringify(row)).join('\r\n')}\n`)

async function read(source: DataSource, context = readContext()): Promise<SourceRow[]> {
  const rows: SourceRow[] = []
  for await (const row of openSource(source).rows(context)) rows.push(row)
  return rows
}

/** The bytes in pieces of a few, which cut lines and characters. */
const pieces = (bytes: Uint8Array, size = 7): Uint8Array[] =>
  Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size))

function webStream<T>(values: Iterable<T>, onCancel = () => {}): ReadableStream<T> {
  const iterator = values[Symbol.iterator]()
  return new ReadableStream<T>({
    pull(controller) {
      const { done, value } = iterator.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel: onCancel,
  })
}

describe('a stream', () => {
  it('a stream of objects gives its rows, of Node or of the web', async () => {
    const expected = ROWS.map((value, index) => ({ value, origin: { row: index + 1 } }))
    expect(await read(Readable.from(ROWS))).toEqual(expected)
    expect(await read(webStream<object>(ROWS))).toEqual(expected)
  })

  it('a stream of bytes is read as a file is: by its format, its lines, and unpacked', async () => {
    const expected = ROWS.map((value, index) => ({ value, origin: { file: 'stream', line: index + 1 } }))
    const numbered = ROWS.map((value, index) => ({ value, origin: { file: 'stream', row: index + 1 } }))
    expect(await read(Readable.from(pieces(LINES)))).toEqual(expected)
    expect(await read(webStream(pieces(LINES)))).toEqual(expected)
    expect(await read(webStream(pieces(gzipSync(LINES))))).toEqual(expected)
    expect(await read(pieces(Buffer.from(JSON.stringify(ROWS))))).toEqual(numbered)
    const table = Buffer.from('prompt,completion\na,"b\nc"\n')
    expect((await read(webStream(pieces(table)))).map(({ value }) => value)).toEqual([
      { prompt: 'a', completion: 'b\nc' },
    ])
    expect(await read(webStream([new Uint8Array()]))).toEqual([])
  })

  it('a damaged stream of bytes is refused by its line, or goes on where rows may be skipped', async () => {
    const damaged = Buffer.concat([LINES, Buffer.from('{"text"\n'), LINES.subarray(3)])
    await expect(read(webStream(pieces(damaged)))).rejects.toMatchObject({ file: 'stream', row: 4 })
    const places: (number | undefined)[] = []
    const rows = await read(webStream(pieces(damaged)), {
      ...readContext(),
      onBadRow: ({ row }: { row: number | undefined }) => places.push(row),
    } as ReturnType<typeof readContext>)
    expect([rows.length, places]).toEqual([6, [4]])
  })

  it('a stream of a format that is read at several places is refused with what to do', async () => {
    await expect(read(webStream([Buffer.from('PAR1 and more')]))).rejects.toThrow(
      'expected a file of this format on the disk, not packed, got stream',
    )
  })

  it('a stream that fails ends the reading with its own error', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield LINES
      throw new Error('connection lost')
    }
    await expect(read(failing())).rejects.toThrow('connection lost')
  })

  it('is closed where only a part of its rows is taken, be they objects or bytes', async () => {
    let cancelled = 0
    const lines = Array.from({ length: 100_000 }, () => Buffer.from('{"text": "a"}\n'))
    for (const values of [lines, lines.map((line) => JSON.parse(line.toString()))]) {
      const stream = webStream<object>(values, () => cancelled++)
      expect((await read({ path: stream, limit: 2 })).length).toBe(2)
    }
    expect(cancelled).toBe(2)
    const readable = Readable.from(lines)
    expect((await read({ path: readable, limit: 2 })).length).toBe(2)
    expect(readable.destroyed).toBe(true)
  })
})
