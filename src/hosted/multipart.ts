/** @file The body of an upload: a form with a file that is read from the disk while it is sent. */

import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import type { RestBody } from '../http/exchange.js'
import type { RowsFile } from './service.js'

/** The bytes of a file, and nothing else. */
export function fileBody({ path, bytes }: Pick<RowsFile, 'path' | 'bytes'>): RestBody {
  return { size: bytes, open: () => streamOf(bytesOf(path)) }
}

/** A form of multipart/form-data with one file, and its content type. */
export function formBody(
  fields: Readonly<Record<string, string>>,
  file: RowsFile,
): { readonly body: RestBody; readonly type: string } {
  const boundary = `lowrank-${randomBytes(16).toString('hex')}`
  const parts = Object.entries(fields).map(
    ([name, value]) => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  )
  const head = Buffer.from(
    `${parts.join('')}--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${file.name}"\r\n` +
      'content-type: application/jsonl\r\n\r\n',
  )
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`)
  async function* pieces(): AsyncGenerator<Uint8Array> {
    yield head
    yield* bytesOf(file.path)
    yield tail
  }
  const size = head.length + file.bytes + tail.length
  return { body: { size, open: () => streamOf(pieces()) }, type: `multipart/form-data; boundary=${boundary}` }
}

async function* bytesOf(path: string): AsyncGenerator<Uint8Array> {
  for await (const piece of createReadStream(path)) yield piece as Uint8Array
}

function streamOf(pieces: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await pieces.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    async cancel() {
      await pieces.return(undefined)
    },
  })
}
