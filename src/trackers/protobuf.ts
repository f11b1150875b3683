/**
 * @file Protocol Buffers as far as event files need them: fields are written by number, and read back. Knows no
 * message.
 * https://protobuf.dev/programming-guides/encoding
 */

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

/** A field that is read: its number, and a number or the bytes of a text or a message. */
export interface ProtoField {
  readonly field: number
  readonly value: number | Uint8Array
}

/** Bytes of a message that has these fields, each as one of the functions below makes it. */
export function message(...fields: readonly Uint8Array[]): Uint8Array {
  return fields.length === 1 ? (fields[0] as Uint8Array) : Buffer.concat(fields)
}

/** A whole number of at least 0. */
export function integerField(field: number, value: number): Uint8Array {
  return Buffer.from([...varint(8 * field + VARINT), ...varint(value)])
}

/** A double. */
export function doubleField(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(9)
  bytes[0] = 8 * field + FIXED64
  bytes.writeDoubleLE(value, 1)
  return bytes
}

/** A message, by its bytes. */
export function bytesField(field: number, value: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from([...varint(8 * field + BYTES), ...varint(value.length)]), value])
}

/** A text. */
export function textField(field: number, value: string): Uint8Array {
  return bytesField(field, Buffer.from(value))
}

/** The digits of a whole number of at least 0, seven bits each. */
export function varint(value: number): number[] {
  const digits: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) digits.push((rest % 128) + 128)
  return [...digits, rest]
}

/** The fields of a message, in order, until its end or what is no field. */
export function* fieldsOf(bytes: Uint8Array): Generator<ProtoField> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let at = 0
  const number = (): number => {
    let value = 0
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const digit = bytes[at++] as number
      value += (digit & 127) * scale
      if (digit < 128) break
    }
    return value
  }
  while (at < bytes.length) {
    const key = number()
    const field = Math.floor(key / 8)
    const kind = key % 8
    if (kind === VARINT) yield { field, value: number() }
    else if (kind === FIXED64 && at + 8 <= bytes.length) {
      yield { field, value: view.getFloat64(at, true) }
      at += 8
    } else if (kind === FIXED32 && at + 4 <= bytes.length) {
      yield { field, value: view.getFloat32(at, true) }
      at += 4
    } else if (kind === BYTES) {
      const length = number()
      if (at + length > bytes.length) return
      yield { field, value: bytes.subarray(at, at + length) }
      at += length
    } else return
  }
}
