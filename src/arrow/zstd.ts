/**
 * @file Zstandard (RFC 8878): the frames of a stream are told apart and checked here, and fzstd unpacks each. A frame
 * may ask for a window of gigabytes before it has given a byte, so its header is read first. Checksums of content are
 * not compared.
 */

import type { Decompress } from 'fzstd'

const MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
/** What `zstd -d` takes without being asked to. */
const LARGEST_WINDOW = 128 * 2 ** 20
const LARGEST_BLOCK = 1 << 17
/** What writers that do not know the size of their content ask for. */
const USUAL_WINDOW = 8 * 2 ** 20
const LONGEST_HEADER = 18

/** Whether a file begins as a frame, or with one that readers skip. */
export function isZstd(start: Uint8Array): boolean {
  if (start.length < 4) return false
  const magic = readUint(start, 0, 4)
  return magic === MAGIC || magic - (magic % 16) === SKIPPABLE_MAGIC
}

/** @throws on damage, a cut end, a window above 128 MiB, and frames that need a dictionary */
export async function* unzstd(packed: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  const fzstd = await import('fzstd')
  let unpacked: Uint8Array[] = []
  // fzstd uses its buffers again.
  const keep = (piece: Uint8Array): void => {
    if (piece.length > 0) unpacked.push(piece.slice())
  }
  const frames = new FrameReader()
  let decompress: Decompress | undefined
  let begun: Uint8Array[] = []
  for (let next = await packed.next(); !next.done; next = await packed.next()) {
    for (const { bytes, ends } of frames.split(next.value)) {
      begun.push(bytes)
      if (ends === undefined) continue
      // fzstd takes whole blocks: cut ones it loses.
      decompress ??= new fzstd.Decompress(keep)
      decompress.push(Buffer.concat(begun), ends === 'frame')
      begun = []
      yield* unpacked
      unpacked = []
      if (ends === 'frame') decompress = undefined
    }
  }
  frames.end()
}

/**
 * Checks the header of a frame whose content has a known size.
 * @returns whether the header says that size too
 * @throws where it says another, or asks for a window that such a frame does not need
 */
export function expectFrame(packed: Uint8Array, size: number): boolean {
  const header = [...packed.subarray(0, LONGEST_HEADER)]
  if (readUint(header, 0, 4) !== MAGIC) throw new Error('it is no frame')
  expectHeader(header, Math.max(USUAL_WINDOW, 2 * size))
  const { isSingle, dictionary, size: sizeBytes } = headerParts(header[4] as number)
  if (sizeBytes === 0) return false
  // Sizes of two bytes begin where those of one end.
  const said = readUint(header, (isSingle ? 5 : 6) + dictionary, sizeBytes) + (sizeBytes === 2 ? 256 : 0)
  if (said !== size) throw new Error(`it says ${said} bytes in place of ${size}`)
  return true
}

/** Bytes of one frame. */
interface FramePart {
  readonly bytes: Uint8Array
  /** What ends with them; undefined: a piece, within a block. */
  readonly ends: 'block' | 'frame' | undefined
}

type Part = 'magic' | 'descriptor' | 'header' | 'block' | 'checksum' | 'skippable'

/** Follows the structure of frames without unpacking them. */
class FrameReader {
  /** What is read next, and how many of its bytes there must be. */
  #part: Part = 'magic'
  #wanted = 4
  #bytes: number[] = []
  /** Bytes of content that pass unread, and whether they are of a frame that is unpacked. */
  #skip = 0
  #isSkipped = false
  #hasChecksum = false
  #isFrameOver = false
  /** Bytes of which it is not known yet whether a frame begins with them. */
  #begun: Uint8Array = new Uint8Array();

  *split(next: Uint8Array): Generator<FramePart> {
    const piece = this.#begun.length === 0 ? next : Buffer.concat([this.#begun, next])
    this.#begun = new Uint8Array()
    let start = 0
    let at = 0
    while (at < piece.length || (this.#isFrameOver && this.#skip === 0)) {
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, piece.length - at)
        this.#skip -= count
        at += count
        if (this.#skip > 0) break
        if (this.#part === 'block') {
          yield { bytes: piece.subarray(start, at), ends: 'block' }
          start = at
        }
      } else if (!this.#isFrameOver) {
        this.#bytes.push(piece[at] as number)
        at++
        if (this.#bytes.length < this.#wanted) continue
        this.#take()
      }
      if (this.#isFrameOver && this.#skip === 0) {
        this.#isFrameOver = false
        if (!this.#isSkipped) yield { bytes: piece.subarray(start, at), ends: 'frame' }
        this.#isSkipped = false
        start = at
      }
    }
    if (start === piece.length || this.#isSkipped) return
    const isKnown = this.#isFrameOver || (this.#part !== 'magic' && this.#part !== 'skippable')
    if (isKnown) yield { bytes: piece.subarray(start), ends: undefined }
    else {
      this.#begun = piece.slice(start)
      this.#expect('magic', 4)
    }
  }

  end(): void {
    if (this.#part !== 'magic' || this.#begun.length > 0 || this.#skip > 0) throw new Error('it ends within a frame')
  }

  #expect(part: Part, wanted: number): void {
    this.#part = part
    this.#wanted = wanted
    this.#bytes = []
  }

  #take(): void {
    const bytes = this.#bytes
    switch (this.#part) {
      case 'magic': {
        const magic = readUint(bytes, 0, 4)
        if (magic === MAGIC) this.#part = 'descriptor'
        else if (magic - (magic % 16) === SKIPPABLE_MAGIC) this.#part = 'skippable'
        else throw new Error('it has other bytes behind a frame')
        // Both begin with the magic number, whose bytes stay.
        this.#wanted = this.#part === 'descriptor' ? 5 : 8
        return
      }
      case 'skippable':
        this.#skip = readUint(bytes, 4, 4)
        this.#endFrame()
        this.#isSkipped = true
        return
      case 'descriptor':
        this.#part = 'header'
        this.#wanted = headerBytes(bytes[4] as number)
        if (this.#wanted > 5) return
        this.#takeHeader()
        return
      case 'header':
        this.#takeHeader()
        return
      case 'block': {
        const header = readUint(bytes, 0, 3)
        const type = (header >> 1) & 3
        const size = header >> 3
        if (type === 3 || size > LARGEST_BLOCK) throw new Error('a block has no valid header')
        this.#skip = type === 1 ? 1 : size
        if ((header & 1) === 0) this.#expect('block', 3)
        else if (this.#hasChecksum) this.#expect('checksum', 4)
        else this.#endFrame()
        return
      }
      case 'checksum':
        this.#endFrame()
    }
  }

  #takeHeader(): void {
    expectHeader(this.#bytes)
    this.#hasChecksum = ((this.#bytes[4] as number) & 4) !== 0
    this.#expect('block', 3)
  }

  #endFrame(): void {
    this.#isFrameOver = true
    this.#expect('magic', 4)
  }
}

const DICTIONARY_BYTES = [0, 1, 2, 4] as const
const SIZE_BYTES = [0, 2, 4, 8] as const

/** What the descriptor of a frame says of its header. */
function headerParts(descriptor: number): { isSingle: boolean; dictionary: number; size: number } {
  const isSingle = (descriptor & 0x20) !== 0
  const size = SIZE_BYTES[(descriptor >> 6) as 0 | 1 | 2 | 3]
  return { isSingle, dictionary: DICTIONARY_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3], size: size || (isSingle ? 1 : 0) }
}

/** Bytes of the header of a frame, its magic number and descriptor included. */
function headerBytes(descriptor: number): number {
  const { isSingle, dictionary, size } = headerParts(descriptor)
  return 5 + (isSingle ? 0 : 1) + dictionary + size
}

function expectHeader(bytes: readonly number[], most = LARGEST_WINDOW): void {
  const descriptor = bytes[4] as number
  if ((descriptor & 8) !== 0) throw new Error('a frame has no valid header')
  const { isSingle, dictionary, size } = headerParts(descriptor)
  const at = isSingle ? 5 : 6
  if (dictionary > 0 && readUint(bytes, at, dictionary) !== 0) throw new Error('it needs a dictionary')
  const window = isSingle ? readUint(bytes, at + dictionary, size) : windowSize(bytes[5] as number)
  if (window > most) throw new Error(`it asks for a window of ${window} bytes, above ${most}`)
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3))
  return base + (base / 8) * (descriptor & 7)
}

function readUint(bytes: ArrayLike<number>, at: number, count: number): number {
  let value = 0
  for (let index = count - 1; index >= 0; index--) value = value * 256 + (bytes[at + index] ?? 0)
  return value
}
