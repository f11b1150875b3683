/**
 * @file Server-sent events as a body: each event is made when the reader asks for it, and a reader who stops asking
 * ends it.
 */

/** One event. */
export interface ServerEvent {
  /** Its name; chat and text completions have none. */
  readonly event?: string
  /** What is written as JSON, or the text `[DONE]`. */
  readonly data: object | '[DONE]'
}

export const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  // nginx would collect what is to be seen at once.
  'x-accel-buffering': 'no',
} as const

const encoder = new TextEncoder()

function bytesOf({ event, data }: ServerEvent): Uint8Array {
  const name = event === undefined ? '' : `event: ${event}\n`
  return encoder.encode(`${name}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`)
}

interface EventStreamOptions {
  /** Seconds that a reader may take for one piece. */
  readonly stallTimeout: number
  /** Is called once: when the reader is gone or too slow, or when all is read. */
  readonly onEnd: (how: 'read' | 'gone' | 'stalled') => void
}

/** @param source must not throw: what fails is an event of its own. */
export function eventStream(
  source: AsyncGenerator<ServerEvent, void, undefined>,
  { stallTimeout, onEnd }: EventStreamOptions,
): ReadableStream<Uint8Array> {
  let timer: NodeJS.Timeout | undefined
  let isOver = false
  const end = (how: 'read' | 'gone' | 'stalled'): void => {
    clearTimeout(timer)
    if (isOver) return
    isOver = true
    if (how !== 'read') source.return().catch(() => undefined)
    onEnd(how)
  }
  const waitForReader = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
    timer = setTimeout(() => {
      end('stalled')
      controller.error(new DOMException('the reader took nothing for too long', 'TimeoutError'))
    }, 1000 * stallTimeout)
    // A stalled reader alone is no reason for a program to go on.
    timer.unref?.()
  }
  return new ReadableStream<Uint8Array>(
    {
      start: waitForReader,
      async pull(controller) {
        clearTimeout(timer)
        const { done, value } = await source.next()
        if (isOver) return
        if (done) {
          end('read')
          controller.close()
          return
        }
        controller.enqueue(bytesOf(value))
        waitForReader(controller)
      },
      cancel() {
        end('gone')
      },
    },
    { highWaterMark: 0 },
  )
}
