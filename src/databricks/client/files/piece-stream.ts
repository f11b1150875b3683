/**
 * @file A part of a file as a stream for a request, in a few buffers that are used over and over: garbage collection
 * does not keep up with a gigabyte of buffers that live for a moment.
 */

/** Bytes of a piece: large enough that the cost per piece does not show. */
const PIECE = 512 * 1024
/**
 * Pieces before a buffer is used again. Between the reader here and the socket each stage holds one piece and asks for
 * the next only when that has gone on, and Node's socket asks once all of it is with the system: below ten stages a
 * buffer is free when its turn comes.
 */
const BUFFERS = 10

/** Fills the buffer from this position on, with at least one byte unless the end is there. */
export type ReadAt = (into: Uint8Array, position: number) => Promise<number>

/**
 * The bytes from `start` to before `end`.
 * @param onPiece Sees each piece once, in order, before it is sent.
 * @param shortened Makes the error for a source that ends before `end`.
 */
export function pieceStream(
  read: ReadAt,
  { start, end }: { readonly start: number; readonly end: number },
  { onPiece, shortened }: { readonly onPiece?: (piece: Uint8Array) => void; shortened(at: number): Error },
): ReadableStream<Uint8Array> {
  const buffers: Uint8Array[] = []
  let at = start
  let turn = 0
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (at >= end) return controller.close()
        const buffer = buffers[turn % BUFFERS] ?? new Uint8Array(Math.min(PIECE, end - start))
        buffers[turn % BUFFERS] = buffer
        turn++
        const count = await read(buffer.subarray(0, Math.min(buffer.length, end - at)), at)
        if (count === 0) throw shortened(at)
        const piece = buffer.subarray(0, count)
        onPiece?.(piece)
        at += count
        controller.enqueue(piece)
        if (at >= end) controller.close()
      },
    },
    { highWaterMark: 0 },
  )
}
