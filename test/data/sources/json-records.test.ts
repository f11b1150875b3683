/** @file Reading records of files: arrays of any size in pieces, long rows, and what is no file. */

import { execFile } from 'node:child_process'
import { appendFile, mkdtemp, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openSource } from '../../../src/data/sources/open-source.js'
import type { SourceRow } from '../../../src/data/sources/row-source.js'
import { Random } from '../../../src/random.js'
import { readContext } from '../../support/read-rows.js'

let directory: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-records-'))
})

afterAll(async () => {
  await rm(directory, { recursive: true })
})

async function all(path: string, context = readContext()): Promise<SourceRow[]> {
  const records: SourceRow[] = []
  for await (const record of openSource(path).rows(context)) records.push(record)
  return records
}

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, content)
  return path
}

const AWKWARD = [...'"\\[]{},:\n\u2028é🚀 a']

/** A value with the characters that splitters stumble over. */
function randomValue(random: Random, depth = 0): unknown {
  const kind = random.below(depth > 3 ? 3 : 5)
  const text = () => Array.from({ length: random.below(9) }, () => AWKWARD[random.below(AWKWARD.length)]).join('')
  if (kind === 0) return text()
  if (kind === 1) return random.below(1000) - 500
  if (kind === 2) return [null, true, false, 0.25][random.below(4)]
  const items = Array.from({ length: random.below(4) }, () => randomValue(random, depth + 1))
  return kind === 3 ? items : Object.fromEntries(items.map((item) => [`k${text()}`, item]))
}

describe('readRecords', () => {
  it('names the line of every row of a long file, whatever the lines around it are', async () => {
    const random = new Random(6)
    const lines: string[] = []
    const wanted: SourceRow[] = []
    for (let line = 1; line <= 3000; line++) {
      const kind = random.below(300)
      const value = { id: line, text: 'é\n'.repeat(random.below(60)), tail: kind === 0 ? 'y'.repeat(70_000) : null }
      const text = JSON.stringify(value)
      lines.push(kind === 1 ? '' : kind === 2 ? '{"a": 1, "b": [2.5]}' : kind < 5 ? `${text}\r` : text)
      if (kind === 2) wanted.push({ value: { a: 1, b: [2.5] }, origin: { file: '', line } })
      else if (kind !== 1) wanted.push({ value, origin: { file: '', line } })
    }
    const path = await file('long.jsonl', lines.join('\n'))
    expect(await all(path)).toEqual(wanted.map((row) => ({ ...row, origin: { ...row.origin, file: path } })))
    // Two lines that are one array of rows together, and what a number would lose in the last one.
    lines[1700] = '{"a":[1'
    lines[1701] = '2]},{"b":1}'
    lines[2999] = '{"n":12345678901234567890}'
    const skipped: unknown[] = []
    const onBadRow = (error: Error): void => void skipped.push(error.message.split(',', 1)[0])
    const rows = await all(await file('long.jsonl', lines.join('\n')), { ...readContext(), onBadRow })
    expect(skipped).toEqual([1701, 1702].map(() => expect.stringContaining('expected one JSON object per line')))
    expect(rows.find(({ origin }) => origin.line === 1701 || origin.line === 1702)).toBeUndefined()
    expect(rows.at(-1)).toEqual({ value: { n: 12345678901234567890n }, origin: { file: path, line: 3000 } })
  })

  it('reads what JSON.parse reads of arrays and lines, wherever the pieces of reading end', async () => {
    const random = new Random(5)
    for (const padding of [0, 262_140, 262_143, 262_144, 262_147, 524_285]) {
      const values = Array.from({ length: 40 }, () => randomValue(random))
      const text = JSON.stringify(values, null, random.below(3))
      const wanted: unknown = JSON.parse(text)
      const array = await file('array.json', `${' '.repeat(padding)}${text}\n`)
      expect((await all(array)).map(({ value }) => value)).toEqual(wanted)
      const lines = values.map((value) => JSON.stringify([value])).join('\n')
      const jsonl = await file('lines.jsonl', `{"pad": "${'x'.repeat(padding)}"}\n${lines}`)
      const records = await all(jsonl)
      expect(records.slice(1).map(({ value }) => value)).toEqual((wanted as unknown[]).map((value) => [value]))
      expect(records.at(-1)?.origin).toEqual({ file: jsonl, line: 41 })
    }
  })

  it('keeps numbers and keys as the file has them', async () => {
    const path = await file('numbers.jsonl', '{"a": 2.0, "b": 12345678901234567890, "c": {"x": 1, "10": 2, "9": 3}}\n')
    const [{ value } = { value: null }] = await all(path)
    const { a, b, c } = value as { a: unknown; b: unknown; c: Map<string, unknown> }
    expect([String(a), b, [...c.keys()]]).toEqual(['2.0', 12345678901234567890n, ['x', '10', '9']])
  })

  it('refuses a key that a row has twice, on any level, by file and line', async () => {
    for (const [row, column] of [
      ['{"text": "a", "text": "b"}', 15],
      ['{"messages": [{"role": "user", "role": "system"}]}', 32],
      ['{"te\\u0078t": "a", "text": "b"}', 20],
    ] as const) {
      const path = await file('twice.jsonl', `{"text": "a"}\n${row}\n`)
      await expect(all(path)).rejects.toThrow(/^\[data\] expected one JSON object per line, got in .*twice\.jsonl:2: /)
      await expect(all(path)).rejects.toThrow(
        new RegExp(`expected the key "\\w+" only once, got .* at column ${column}`),
      )
    }
  })

  it.each(['grows', 'shrinks at the end of a row', 'is written anew'])(
    'refuses a file that %s while it is read',
    async (how) => {
      const row = `{"text": "${'x'.repeat(1013)}"}\n`
      const path = await file('changing.jsonl', row.repeat(1024))
      const records = openSource(path).rows(readContext())[Symbol.asyncIterator]()
      await records.next()
      if (how === 'grows') await appendFile(path, row)
      else if (how.startsWith('shrinks')) await truncate(path, row.length * 700)
      else {
        const before = await stat(path)
        await writeFile(path, row.replaceAll('x', 'y').repeat(1024))
        await utimes(path, before.atime, new Date(before.mtimeMs + 5))
      }
      await expect(async () => {
        while (!(await records.next()).done);
      }).rejects.toThrow(
        `[data] expected ${path} to stay as it is while it is read, but it was written to; wait for its`,
      )
    },
  )

  it('names the line of what is no JSON within an array', async () => {
    const fail = async (text: string, message: string): Promise<void> => {
      const path = await file('bad.json', text)
      await expect(all(path)).rejects.toThrow(`[data] expected a JSON array of rows, got in ${path}:${message}`)
    }
    await fail('[\n{"a": 1},\n{"a":\n 1,}\n]', '4: expected a key in quotes, got "}\\n" at column 4')
    await fail('[\n{"a": 1}\n{"a": 2}]', '3: expected nothing after the value, got "{\\"a\\": 2}" at column 1')
    await fail('[{"a": 1},\n\n]', '3: nothing before a comma or the end')
    await fail('[,{"a": 1}]', '1: nothing before a comma or the end')
    await fail('[{"a": 1}]\n{"a": 2}', '2: more after its end')
    await fail('[{"a": 1}\n', '2: the end of the file within the array')
    await fail('[{"a": "x]\n', '2: the end of the file within the array')
    expect(await all(await file('none.json', ' [\n ] \n'))).toEqual([])
    expect(await all(await file('empty.json', ''))).toEqual([])
  })

  it('says shortly what is wrong with a long line', async () => {
    const path = await file('long.jsonl', `{"text": "${'x'.repeat(1_000_000)}`)
    const error = await all(path).catch((thrown: Error) => thrown)
    expect((error as Error).message).toBe(
      `[data] expected one JSON object per line, got in ${path}:1: expected a closing quote, got the end of the text at column 1000011; ` +
        'a row is one line without line breaks; where it is the last one, the file was cut',
    )
  })

  it.skipIf(process.platform === 'win32')('refuses pipes, sockets and devices without waiting for them', async () => {
    const pipe = join(directory, 'pipe.jsonl')
    await promisify(execFile)('mkfifo', [pipe])
    await expect(all(pipe)).rejects.toThrow(`[data] expected ${pipe} to be a file, got a pipe`)
    await expect(all('/dev/zero')).rejects.toThrow('[data] expected /dev/zero to be a file, got a device')
    const socket = join(directory, 'socket.jsonl')
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(socket, resolve))
    await expect(all(socket)).rejects.toThrow(`[data] expected ${socket} to be a file, got a socket`)
    server.close()
  })
})
