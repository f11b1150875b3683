/** @file The body of a request as JSON, within bounds of size, time and depth. */

import { ApiError, badRequest } from './api-error.js'

/** Deeper JSON is no request: what walks through it calls itself at every level. */
const DEEPEST = 64

interface BodyLimits {
  /** Bytes of the largest body. */
  readonly maxBodyBytes: number
  /** Seconds in which a body must be there. */
  readonly bodyTimeout: number
}

/** @throws ApiError for a body that is no JSON, too large, too deep or too slow. */
export async function readJson(request: Request, limits: BodyLimits, signal: AbortSignal): Promise<unknown> {
  // A page of another site may send forms and plain text without being asked; JSON it may not.
  const type = (request.headers.get('content-type') ?? '').split(';')[0]?.trim().toLowerCase()
  if (type !== 'application/json') {
    const message = 'Expected content-type: application/json.'
    throw new ApiError(415, 'invalid_request_error', message, { code: 'unsupported_media_type' })
  }
  const bytes = await readBytes(request, limits, signal)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new ApiError(400, 'invalid_request_error', 'Expected JSON in UTF-8 for the body, got other bytes.', { cause })
  }
  if (isDeeper(text, DEEPEST))
    throw badRequest(`Expected JSON of at most ${DEEPEST} levels for the body, got more.`, undefined, 'json_too_deep')
  try {
    return JSON.parse(text) as unknown
  } catch (cause) {
    const what = text.trim() === '' ? 'nothing' : (cause as Error).message
    throw new ApiError(400, 'invalid_request_error', `Expected JSON for the body, got: ${what}`, {
      code: 'invalid_json',
      cause,
    })
  }
}

async function readBytes(
  request: Request,
  { maxBodyBytes, bodyTimeout }: BodyLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const tooLarge = (): ApiError =>
    new ApiError(413, 'invalid_request_error', `Expected a body of at most ${maxBodyBytes} bytes, got more.`, {
      code: 'request_too_large',
      // What is left of it is not read.
      headers: { connection: 'close' },
    })
  if (Number(request.headers.get('content-length') ?? 0) > maxBodyBytes) throw tooLarge()
  if (request.body === null) return new Uint8Array()
  const reader = request.body.getReader()
  const pieces: Uint8Array[] = []
  let size = 0
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    const message = `Expected the whole body within ${bodyTimeout} seconds, got a part of it.`
    const details = { code: 'request_timeout', headers: { connection: 'close' } }
    timer = setTimeout(() => reject(new ApiError(408, 'invalid_request_error', message, details)), 1000 * bodyTimeout)
  })
  late.catch(() => undefined)
  const cancel = (): void => void reader.cancel(signal.reason).catch(() => undefined)
  signal.addEventListener('abort', cancel, { once: true })
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late])
      if (done) break
      size += value.byteLength
      if (size > maxBodyBytes) throw tooLarge()
      pieces.push(value)
    }
  } catch (error) {
    reader.cancel().catch(() => undefined)
    throw error
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', cancel)
  }
  signal.throwIfAborted()
  return Buffer.concat(pieces)
}

/** Whether brackets open deeper than `most` levels, those in texts left out. */
function isDeeper(text: string, most: number): boolean {
  let depth = 0
  let isText = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (isText) {
      if (code === 0x5c) at++
      else if (code === 0x22) isText = false
    } else if (code === 0x22) isText = true
    else if (code === 0x5b || code === 0x7b) {
      depth++
      if (depth > most) return true
    } else if (code === 0x5d || code === 0x7d) depth--
  }
  return false
}
