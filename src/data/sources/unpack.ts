/**
 * @file Text that is packed with gzip or Zstandard, unpacked piece by piece. What unpacks to much more than it can
 * honestly hold is refused before it fills anything. Knows no format of rows.
 */

import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { isZstd, unzstd } from '../../arrow/zstd.js'
import { DataError } from '../../lowrank-error.js'

/** How a file is packed. */
interface Packing {
  /** As an error says it. */
  readonly name: string
  readonly isPacked: (start: Uint8Array) => boolean
  readonly unpack: (packed: AsyncIterator<Uint8Array>) => AsyncIterable<Uint8Array>
}

const PACKINGS: readonly Packing[] = [
  { name: 'gzip', isPacked: ([first, second]) => first === 0x1f && second === 0x8b, unpack: gunzip },
  { name: 'Zstandard', isPacked: isZstd, unpack: unzstd },
]

/** Endings that packed files have behind the ending of their format. */
const PACKED = /\.(?:gz|gzip|zst|zstd)$/i

const PIECE_BYTES = 1 << 18
/** Bytes that any file may unpack to. */
const FREE_BYTES = 64 * 2 ** 20
/** Rows of text become 3 to 20 times smaller; what is made to fill a disk becomes 1,000 times smaller and more. */
const LARGEST_RATIO = 400

/** The path without the ending of its packing: `rows.jsonl` of `rows.jsonl.gz`. */
export function unpackedPath(path: string): string {
  return path.replace(PACKED, '')
}

/** How a file that begins so is packed; undefined where it is not. */
export function packingOf(start: Uint8Array): Packing | undefined {
  return PACKINGS.find(({ isPacked }) => isPacked(start))
}

/**
 * The bytes that were packed.
 * @param packed The bytes of the file, all of which are taken.
 * @throws DataError naming the file for what is damaged, cut, or unpacks to more than 64 MiB and 400 times its size
 */
export async function* unpack(
  { name, unpack }: Packing,
  packed: AsyncIterable<Uint8Array>,
  path: string,
): AsyncGenerator<Uint8Array> {
  const source = packed[Symbol.asyncIterator]()
  let taken = 0
  let given = 0
  let failure: unknown
  const counted: AsyncIterator<Uint8Array> = {
    async next() {
      try {
        const result = await source.next()
        if (!result.done) taken += result.value.length
        return result
      } catch (error) {
        failure = error
        throw error
      }
    },
  }
  try {
    for await (const piece of unpack(counted)) {
      given += piece.length
      if (given > FREE_BYTES && given > LARGEST_RATIO * taken) throw tooLarge(path, name, taken)
      yield piece
    }
    // Bytes behind the end do not count, but the hash is one of the whole file.
    while (!(await counted.next()).done);
  } catch (error) {
    if (error instanceof DataError || failure !== undefined) throw failure ?? error
    throw new DataError(
      `[data] expected a whole ${name} file in ${path}, got one that cannot be unpacked (${(error as Error).message}); it is damaged or was cut: get it anew`,
      { file: path, cause: error },
    )
  } finally {
    await source.return?.()
  }
}

async function* gunzip(packed: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stream = createGunzip({ chunkSize: PIECE_BYTES })
  // Without return(): what is left behind the last member is still to be hashed.
  const source = Readable.from({ [Symbol.asyncIterator]: () => ({ next: () => packed.next() }) }, { objectMode: true })
  pipeline(source, stream, () => {})
  yield* stream
}

function tooLarge(path: string, name: string, taken: number): DataError {
  return new DataError(
    `[data] expected rows in ${path}, got ${name} that unpacks to more than ${LARGEST_RATIO} times its ${taken} bytes, as files do that are ` +
      'made to fill a disk (zip bombs); if you trust it, unpack it yourself and give the file that comes out',
    { file: path },
  )
}
