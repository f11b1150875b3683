/**
 * @file TFRecord framing: length, its checksum, data, their checksum.
 * https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
 */

import { closeSync, readSync } from 'node:fs'
import { openRegularFileSync } from '../regular-file.js'
import { maskedCrc32c } from './crc32c.js'

/** Bytes before the data. */
const HEAD = 12
/** Bytes behind them. */
const FOOT = 4
const PIECE = 1 << 20

/** A record that holds the data. */
export function tfRecord(data: Uint8Array): Uint8Array {
  const record = Buffer.allocUnsafe(HEAD + data.length + FOOT)
  record.writeUInt32LE(data.length, 0)
  record.writeUInt32LE(0, 4)
  record.writeUInt32LE(maskedCrc32c(record, 0, 8), 8)
  record.set(data, HEAD)
  record.writeUInt32LE(maskedCrc32c(data), HEAD + data.length)
  return record
}

/** The data of the whole records of a file, until its end or a record that is damaged or cut short. */
export function* readTfRecords(path: string): Generator<Uint8Array> {
  const file = openRegularFileSync('tensorboard', path)
  try {
    let held: Buffer = Buffer.alloc(0)
    const need = (size: number): boolean => {
      while (held.length < size) {
        const piece = Buffer.allocUnsafe(Math.max(PIECE, size - held.length))
        const read = readSync(file, piece, 0, piece.length, null)
        if (read === 0) return false
        held = Buffer.concat([held, piece.subarray(0, read)])
      }
      return true
    }
    while (need(HEAD)) {
      const length = held.readUInt32LE(0)
      if (held.readUInt32LE(8) !== maskedCrc32c(held, 0, 8) || held.readUInt32LE(4) !== 0) return
      const end = HEAD + length
      if (!need(end + FOOT) || held.readUInt32LE(end) !== maskedCrc32c(held, HEAD, end)) return
      yield held.subarray(HEAD, end)
      held = held.subarray(end + FOOT)
    }
  } finally {
    closeSync(file)
  }
}
