/**
 * @file One request and its answer, with limits to silence: until the answer begins, between two pieces of what is sent
 * and between two pieces of what comes. Knows no retries and no meaning of an answer.
 */

import { unlessStopped } from './patience.js'
import { proxiedFetch } from './proxied-fetch.js'

/** The silence of a server that is too long. */
export interface Silence {
  /** Milliseconds until an answer must begin, counted from the last piece that was sent. */
  readonly answerTimeout: number
  /** Milliseconds between two pieces of an answer. */
  readonly pieceTimeout: number
}

/** A body that can be opened again for another try. */
export interface RestBody {
  /** Bytes. */
  readonly size: number
  /** The bytes from their beginning, the same at every call. */
  open(): Uint8Array | ReadableStream<Uint8Array>
}

/** What is sent. */
export interface Exchange {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: RestBody | string | undefined
  readonly redirect: 'follow' | 'manual'
  readonly signal: AbortSignal | undefined
  /**
   * The error that a reader of the body gets for what was thrown.
   * @default what was thrown
   */
  readonly bodyError?: ((thrown: unknown) => unknown) | undefined
}

/** An answer whose body is still to be read. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** The body. Reading it fails once nothing comes for too long, or once the signal is aborted. */
  readonly body: ReadableStream<Uint8Array> | null
}

/** Larger bodies are sent in pieces of so many bytes, so that it shows whether they move. */
const PIECE = 2 ** 20

/** @throws whatever `fetch` throws, and an error that says how long nothing came; the signal's reason */
export async function exchange(url: string, request: Exchange, silence: Silence): Promise<Answer> {
  const { method, headers, redirect, signal, bodyError = (thrown) => thrown } = request
  const watch = watchSilence(signal)
  try {
    watch.begin(silence.answerTimeout)
    const { body, length } = openBody(request.body, () => watch.begin(silence.answerTimeout))
    const init: RequestInit & { duplex: 'half' } = {
      method,
      headers: { ...headers, ...(length !== undefined && { 'content-length': String(length) }) },
      ...(body !== undefined && { body }),
      duplex: 'half',
      redirect,
      signal: watch.signal,
    }
    const response = await unlessStopped(proxiedFetch(url, init), watch.signal)
    watch.end()
    return {
      status: response.status,
      headers: response.headers,
      body:
        response.body &&
        watched(response.body, watch, silence.pieceTimeout, (thrown) => {
          const reason = watch.reasonOf(thrown)
          return signal?.aborted ? reason : bodyError(reason)
        }),
    }
  } catch (thrown) {
    watch.end()
    throw watch.reasonOf(thrown)
  }
}

type SentBody = { readonly body: RequestInit['body'] | undefined; readonly length: number | undefined }

function openBody(body: RestBody | string | undefined, onPiece: () => void): SentBody {
  if (body === undefined || typeof body === 'string') return { body, length: undefined }
  const opened = body.open()
  if (opened instanceof ReadableStream) {
    const counted = opened.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(piece, controller) {
          onPiece()
          controller.enqueue(piece)
        },
      }),
    )
    return { body: counted, length: body.size }
  }
  if (opened.byteLength <= PIECE) return { body: opened as Uint8Array<ArrayBuffer>, length: undefined }
  let sent = 0
  const pieces = new ReadableStream<Uint8Array>({
    pull(controller) {
      onPiece()
      if (sent >= opened.byteLength) return controller.close()
      controller.enqueue(opened.subarray(sent, sent + PIECE))
      sent += PIECE
    },
  })
  return { body: pieces, length: body.size }
}

interface Watch {
  /** Aborted by the caller, or when nothing came for too long. */
  readonly signal: AbortSignal
  /** Something moved: the silence begins anew. */
  begin(milliseconds: number): void
  /** Nothing is waited for. */
  end(): void
  /** Why it stopped: the caller's reason, the silence, or what was thrown. */
  reasonOf(thrown: unknown): unknown
}

function watchSilence(caller: AbortSignal | undefined): Watch {
  const silence = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let limit = 0
  return {
    signal: caller ? AbortSignal.any([caller, silence.signal]) : silence.signal,
    begin(milliseconds) {
      if (timer !== undefined && limit === milliseconds) {
        timer.refresh()
        return
      }
      clearTimeout(timer)
      limit = milliseconds
      timer = setTimeout(() => silence.abort(new Error(`nothing came for ${milliseconds / 1000} s`)), milliseconds)
    },
    end() {
      clearTimeout(timer)
      timer = undefined
    },
    reasonOf(thrown) {
      if (caller?.aborted) return caller.reason
      return silence.signal.aborted ? silence.signal.reason : thrown
    },
  }
}

/** A body whose pieces come in time, or not at all. What the reader does with a piece takes time that is its own. */
function watched(
  body: ReadableStream<Uint8Array>,
  watch: Watch,
  pieceTimeout: number,
  errorOf: (thrown: unknown) => unknown,
): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        watch.begin(pieceTimeout)
        try {
          const { done, value } = await unlessStopped(reader.read(), watch.signal)
          if (done) controller.close()
          else controller.enqueue(value)
        } catch (thrown) {
          reader.cancel().catch(() => {})
          throw errorOf(thrown)
        } finally {
          watch.end()
        }
      },
      async cancel() {
        watch.end()
        await reader.cancel().catch(() => {})
      },
    },
    { highWaterMark: 0 },
  )
}
