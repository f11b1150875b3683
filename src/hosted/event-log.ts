/** @file The events of a run: each told once and in order, also over several processes, and kept in `events.jsonl`. */

import { appendFile, mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeError } from '../atomic-write.js'
import { readError } from '../regular-file.js'
import { isObject } from '../values.js'
import type { HostedEvent } from './events.js'

export class EventLog {
  readonly #path: string | undefined
  readonly #known: Set<string>
  readonly #onEvent: ((event: HostedEvent) => void) | undefined

  private constructor(
    path: string | undefined,
    known: Set<string>,
    onEvent: ((event: HostedEvent) => void) | undefined,
  ) {
    this.#path = path
    this.#known = known
    this.#onEvent = onEvent
  }

  /** @param outputDir Undefined: nothing is kept. */
  static async open(
    outputDir: string | undefined,
    onEvent: ((event: HostedEvent) => void) | undefined,
  ): Promise<EventLog> {
    if (outputDir === undefined) return new EventLog(undefined, new Set(), onEvent)
    const path = join(outputDir, 'events.jsonl')
    await mkdir(outputDir, { recursive: true }).catch((error) => {
      throw writeError(outputDir, error)
    })
    return new EventLog(path, await knownIds(path), onEvent)
  }

  /** Keeps an event, and tells of it. What has an id is told once. */
  async tell(event: HostedEvent): Promise<void> {
    const key = keyOf(event)
    if (key !== undefined && this.#known.has(key)) return
    if (key !== undefined) this.#known.add(key)
    // A line begins with a line end, so that it is whole behind half a line.
    if (this.#path !== undefined)
      await appendFile(this.#path, `\n${JSON.stringify(event)}`).catch((error) => {
        throw writeError(this.#path ?? '', error)
      })
    this.#onEvent?.(event)
  }
}

/** Undefined: it may come again. */
function keyOf(event: { readonly type: string; readonly id?: string }): string | undefined {
  return ['message', 'figures', 'checkpoint'].includes(event.type) ? `${event.type} ${event.id}` : undefined
}

async function knownIds(path: string): Promise<Set<string>> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Set()
    throw readError('hosted', path, error)
  }
  const keys = text.split('\n').map((line) => {
    try {
      const event: unknown = JSON.parse(line)
      return isObject(event) ? keyOf(event as { type: string; id?: string }) : undefined
    } catch {
      // A process that was killed leaves half a line.
      return undefined
    }
  })
  return new Set(keys.filter((key) => key !== undefined))
}
