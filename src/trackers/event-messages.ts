/**
 * @file The messages of TensorBoard's event files, as bytes. Field numbers are those of event.proto, summary.proto,
 * tensor.proto and plugin_data.proto of TensorBoard 2.
 */

import { bytesField, doubleField, fieldsOf, integerField, message, textField, varint } from './protobuf.js'

/** What every event has. Times are seconds since 1970. */
export interface EventHead {
  readonly time: number
  readonly step: number
}

/** A value that a hyperparameter can have. */
export type HyperParameter = number | string | boolean

/** How a run ended, as the hparams plugin counts it. */
export const SESSION_STATUS = { success: 1, failure: 2 } as const

const START = 1
const DT_STRING = 7

/** Event: `wall_time` = 1, `step` = 2. */
const EVENT = { fileVersion: 3, summary: 5, sessionLog: 7 } as const
/** Summary.Value. */
const VALUE = { tag: 1, simpleValue: 2, tensor: 8, metadata: 9 } as const
/** HParamsPluginData. */
const HPARAMS = { start: 3, end: 4 } as const

function event({ time, step }: EventHead, content: Uint8Array): Uint8Array {
  return message(doubleField(1, time), integerField(2, step), content)
}

/** The first event of a file. Version 2 means that restarts are told of, by `startEvent`, and not guessed. */
export function versionEvent(head: EventHead): Uint8Array {
  return event(head, textField(EVENT.fileVersion, 'brain.Event:2'))
}

/** Readers forget all values of this step and later ones, which earlier files have. */
export function startEvent(head: EventHead): Uint8Array {
  return event(head, bytesField(EVENT.sessionLog, integerField(1, START)))
}

/** An event of values. */
export function summaryEvent(head: EventHead, values: readonly Uint8Array[]): Uint8Array {
  return event(head, bytesField(EVENT.summary, message(...values.map((value) => bytesField(1, value)))))
}

/** A text, which TensorBoard shows as Markdown. */
export function textValue(tag: string, text: string): Uint8Array {
  const shape = bytesField(2, integerField(1, 1))
  const tensor = message(integerField(1, DT_STRING), bytesField(2, shape), textField(8, text))
  return message(
    textField(VALUE.tag, `${tag}${TEXT_ENDING}`),
    bytesField(VALUE.tensor, tensor),
    bytesField(VALUE.metadata, bytesField(1, textField(1, 'text'))),
  )
}

const TEXT_ENDING = '/text_summary'

/** The hyperparameters of a run, as `add_hparams` of torch writes them. */
export function sessionStartValue(parameters: ReadonlyMap<string, HyperParameter>, time: number): Uint8Array {
  const entries = [...parameters].map(([name, value]) =>
    bytesField(1, message(textField(1, name), bytesField(2, jsonValue(value)))),
  )
  return hparamsValue('session_start_info', HPARAMS.start, message(...entries, doubleField(5, time)))
}

/** How and when a run ended. */
export function sessionEndValue(status: keyof typeof SESSION_STATUS, time: number): Uint8Array {
  const end = message(integerField(1, SESSION_STATUS[status]), doubleField(2, time))
  return hparamsValue('session_end_info', HPARAMS.end, end)
}

/** google.protobuf.Value. */
function jsonValue(value: HyperParameter): Uint8Array {
  if (typeof value === 'number') return doubleField(2, value)
  return typeof value === 'string' ? textField(3, value) : integerField(4, value ? 1 : 0)
}

function hparamsValue(name: string, field: number, content: Uint8Array): Uint8Array {
  const plugin = message(textField(1, 'hparams'), bytesField(2, bytesField(field, content)))
  return message(textField(VALUE.tag, `_hparams_/${name}`), bytesField(VALUE.metadata, bytesField(1, plugin)))
}

/** Scalars by tag, as events; what is the same for each tag is made once. */
export class ScalarEvents {
  readonly #heads = new Map<string, Uint8Array>()

  /** An event of scalars, which are float32 as `add_scalar` of torch writes them. */
  event({ time, step }: EventHead, scalars: Iterable<readonly [tag: string, value: number]>): Uint8Array {
    const found: [head: Uint8Array, value: number][] = []
    let length = 0
    for (const [tag, value] of scalars) {
      const head = this.#head(tag)
      found.push([head, value])
      length += head.length + 4
    }
    const stepDigits = varint(step)
    const lengthDigits = varint(length)
    const bytes = Buffer.allocUnsafe(11 + stepDigits.length + lengthDigits.length + length)
    bytes[0] = 8 * 1 + 1
    bytes.writeDoubleLE(time, 1)
    bytes[9] = 8 * 2
    let at = 10
    for (const digit of stepDigits) bytes[at++] = digit
    bytes[at++] = 8 * EVENT.summary + 2
    for (const digit of lengthDigits) bytes[at++] = digit
    for (const [head, value] of found) {
      bytes.set(head, at)
      at = bytes.writeFloatLE(value, at + head.length)
    }
    return bytes
  }

  /** A value of the summary up to the four bytes of the number. */
  #head(tag: string): Uint8Array {
    const known = this.#heads.get(tag)
    if (known !== undefined) return known
    const name = textField(VALUE.tag, tag)
    const length = name.length + 5
    const head = Buffer.from([8 * 1 + 2, ...varint(length), ...name, 8 * VALUE.simpleValue + 5])
    this.#heads.set(tag, head)
    return head
  }
}

/** What an event of a file says, as far as a run that goes on needs it. */
export interface ReadEvent {
  readonly step: number
  readonly isRestart: boolean
  readonly tags: readonly string[]
  /** Texts by tag. */
  readonly texts: ReadonlyMap<string, string>
}

/** Reads an event. */
export function readEvent(bytes: Uint8Array): ReadEvent {
  let step = 0
  let isRestart = false
  const tags: string[] = []
  const texts = new Map<string, string>()
  for (const { field, value } of fieldsOf(bytes)) {
    if (field === 2 && typeof value === 'number') step = value
    if (typeof value === 'number') continue
    if (field === EVENT.sessionLog)
      isRestart = [...fieldsOf(value)].some((inner) => inner.field === 1 && inner.value === START)
    if (field !== EVENT.summary) continue
    for (const inner of fieldsOf(value)) {
      if (inner.field !== 1 || typeof inner.value === 'number') continue
      const tag = textAt(inner.value, VALUE.tag) ?? ''
      tags.push(tag)
      const tensor = bytesAt(inner.value, VALUE.tensor)
      const text = tensor && textAt(tensor, 8)
      if (text !== undefined && tag.endsWith(TEXT_ENDING)) texts.set(tag.slice(0, -TEXT_ENDING.length), text)
    }
  }
  return { step, isRestart, tags, texts }
}

function bytesAt(bytes: Uint8Array, wanted: number): Uint8Array | undefined {
  for (const { field, value } of fieldsOf(bytes)) if (field === wanted && typeof value !== 'number') return value
  return undefined
}

function textAt(bytes: Uint8Array, wanted: number): string | undefined {
  const found = bytesAt(bytes, wanted)
  return found && Buffer.from(found).toString()
}
