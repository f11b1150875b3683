/** @file Files packed with gzip and Zstandard: their rows, their hash, and what is damaged or made to fill a disk. */

import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { unzstd } from '../../../src/arrow/zstd.js'
import { openSource } from '../../../src/data/sources/open-source.js'
import { readContext } from '../../support/read-rows.js'
import { temporaryDirectory } from '../../support/tiny-model.js'

const folder = temporaryDirectory()
const LINE = '{"text": "0123456789"}\n'

async function read(name: string, content: Uint8Array) {
  const path = join(folder, name)
  await writeFile(path, content)
  const context = readContext()
  const rows: unknown[] = []
  for await (const { value } of openSource(path).rows(context)) rows.push(value)
  return { path, rows, context }
}

/** A frame of blocks as they stand, without a checksum. */
function frame(blocks: readonly (string | { byte: string; count: number })[], descriptor = [0x00, 0x58]): Buffer {
  const parts = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, ...descriptor])]
  for (const [index, block] of blocks.entries()) {
    const isRepeated = typeof block !== 'string'
    const size = isRepeated ? block.count : Buffer.byteLength(block)
    const header = (size << 3) | (isRepeated ? 2 : 0) | (index === blocks.length - 1 ? 1 : 0)
    parts.push(Buffer.from([header & 255, (header >> 8) & 255, header >> 16]))
    parts.push(Buffer.from(isRepeated ? block.byte : block))
  }
  return Buffer.concat(parts)
}

const skippable = Buffer.from([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])
// `zstd -19` of two lines, with the checksum of its content.
const COMPRESSED = Buffer.from('KLUv/QRo7QAAuHsidGV4dCI6ICIwMTIzNDU2Nzg5In0KAQC1nk2BScXs', 'base64')

describe('a packed file', () => {
  it.each([
    ['rows.jsonl.gz', gzipSync(LINE.repeat(3))],
    ['members.jsonl.gz', Buffer.concat([gzipSync(LINE), gzipSync(LINE.repeat(2))])],
    ['rows.jsonl.zst', frame([LINE, LINE.repeat(2)])],
    [
      'frames.jsonl.zst',
      Buffer.concat([skippable, frame([LINE]), skippable, frame(['{"text": ', '"0123456789"}\n']), frame([LINE])]),
    ],
    ['named otherwise', gzipSync(LINE.repeat(3))],
  ])('is unpacked while it is read, and known by the hash of what lies on the disk: %s', async (name, content) => {
    const { path, rows, context } = await read(name, content)
    expect(rows).toEqual([{ text: '0123456789' }, { text: '0123456789' }, { text: '0123456789' }])
    const sha256 = createHash('sha256').update(content).digest('hex')
    expect(context.lineage).toEqual([{ location: path, rows: 3, size: content.length, sha256 }])
    expect(context.fractions.at(-1)).toBe(1)
  })

  it('keeps the format that its name has before the packing', async () => {
    expect((await read('rows.csv.gz', gzipSync('text\nOne; two.\n'))).rows).toEqual([{ text: 'One; two.' }])
    expect((await read('rows.tsv.zst', frame(['a\tb\n1,2\t3\n']))).rows).toEqual([{ a: '1,2', b: '3' }])
  })

  it('is refused by its name where it is damaged or cut', async () => {
    const whole = gzipSync(LINE.repeat(1000))
    const flipped = Buffer.from(whole)
    flipped.writeUInt8(flipped.readUInt8(flipped.length - 6) ^ 1, flipped.length - 6)
    for (const [name, content] of [
      ['cut.gz', whole.subarray(0, -9)],
      ['flipped.gz', flipped],
      ['cut.zst', frame([LINE, LINE]).subarray(0, -3)],
      ['block.zst', Buffer.from([...frame([LINE]).subarray(0, 6), 0x07, 0, 0])],
      ['behind.zst', Buffer.concat([frame([LINE]), Buffer.from('more bytes')])],
      ['dictionary.zst', frame([LINE], [0x01, 0x58, 7])],
    ] as const) {
      await expect(read(name, content)).rejects.toThrow(
        new RegExp(
          `expected a whole (gzip|Zstandard) file in .*${name}, got one that cannot be unpacked \\(.+\\); it is damaged`,
        ),
      )
    }
  })

  it('is refused where it unpacks to hundreds of times its size, after 64 MiB', async () => {
    const bomb = gzipSync(Buffer.concat([Buffer.from('{'), Buffer.alloc(70 * 2 ** 20, 'x')]))
    await expect(read('bomb.jsonl.gz', bomb)).rejects.toThrow(
      /bomb\.jsonl\.gz, got gzip that unpacks to more than 400 times its \d+ bytes, as files do that are made to fill a disk \(zip bombs\)/,
    )
    const blocks = Array.from({ length: 560 }, () => ({ byte: 'x', count: 1 << 17 }))
    await expect(read('bomb.jsonl.zst', frame(['{', ...blocks]))).rejects.toThrow(
      'Zstandard that unpacks to more than 400 times',
    )
  })

  it('is refused where it asks for gigabytes before it gives a byte', async () => {
    await expect(read('window.zst', frame([LINE], [0x00, 0xa8]))).rejects.toThrow(
      'it asks for a window of 2147483648 bytes',
    )
    const single = frame([LINE], [0xe0, 0, 0, 0, 0, 1, 0, 0, 0])
    await expect(read('single.zst', single)).rejects.toThrow('it asks for a window of 4294967296 bytes')
  })
})

describe('unzstd', () => {
  it('gives the same text wherever its pieces end', async () => {
    const packed = Buffer.concat([COMPRESSED, skippable, frame([LINE, { byte: 'x', count: 200 }]), COMPRESSED])
    const wanted = LINE.repeat(2) + LINE + 'x'.repeat(200) + LINE.repeat(2)
    for (let size = 1; size <= packed.length; size++) {
      const pieces = function* (): Generator<Uint8Array> {
        for (let at = 0; at < packed.length; at += size) yield packed.subarray(at, at + size)
      }
      const iterator = pieces()
      const found: Uint8Array[] = []
      for await (const piece of unzstd({ next: async () => iterator.next() })) found.push(piece)
      expect(Buffer.concat(found).toString()).toBe(wanted)
    }
  })
})
