/**
 * @file Fetches one file into the blobs of the cache: goes on where it was cut off, and checks what came.
 *
 * @huggingface/hub has `downloadFileToCacheDir` for this, but it begins anew each time, renames whatever came, and lets
 * two writers share a file; so the transfer is here, over the Hub's plain `resolve` address, which serves LFS and Xet
 * files alike.
 */

import { formatBytes } from '../bytes.js'
import { pause } from '../http/patience.js'
import { tokenSearch } from '../http/secret.js'
import { backoff, TransportError } from './http.js'
import type { HubFile } from './hub-api.js'
import { HubError, type HubSubject, what } from './hub-error.js'
import { PartialFile } from './partial-file.js'
import { type RequestOptions, request } from './request.js'
import type { HubSettings } from './settings.js'

/** Options of `downloadBlob`. `subject.file` is the path of the file. */
export interface DownloadOptions extends RequestOptions {
  readonly file: HubFile
  /** The directory of the blobs. */
  readonly blobs: string
  /** Called with bytes that are there now and were not before; negative where they turned out to be useless. */
  readonly onBytes: (count: number) => void
}

/** New bytes after which a transfer that was cut has its full patience again; of small files a hundredth. */
const LEAST_PROGRESS = 2 ** 20

/**
 * @throws HubError when the file does not come, or is not what its checksum says; the signal's reason when it is
 * aborted
 */
export async function downloadBlob(options: DownloadOptions): Promise<void> {
  const { file, blobs, onBytes } = options
  const partial = await PartialFile.open(blobs, file)
  let counted = 0
  const count = () => {
    onBytes(partial.size - counted)
    counted = partial.size
  }
  try {
    let isResumed = partial.size > 0
    count()
    for (;;) {
      await fill(partial, options, count)
      const checksum = partial.checksum()
      if (checksum === file.etag) break
      await partial.restart()
      count()
      // What an earlier run left may be wrong; what came now, from the first byte on, is what the server has.
      if (!isResumed) throw wrongChecksum(options, checksum)
      isResumed = false
    }
    await partial.finish()
  } catch (error) {
    await partial.release()
    throw error
  }
}

/** Requests until all bytes are there; gives up after several cuts without a new byte. */
async function fill(partial: PartialFile, options: DownloadOptions, count: () => void): Promise<void> {
  const { file, signal, attempts } = options
  for (let failures = 0; partial.size < file.size; ) {
    const before = partial.size
    const cut = await transfer(partial, options, count)
    if (cut === undefined) continue
    // A byte now and then would keep the run for ever.
    const isProgress = !cut.isSlow && partial.size - before >= Math.min(LEAST_PROGRESS, file.size / 100)
    failures = isProgress ? 1 : failures + 1
    if (failures >= attempts) throw cut
    await pause(backoff(failures), signal)
  }
}

/** Where a file of a commit is. */
export function fileUrl({ endpoint }: HubSettings, { type, id, revision }: HubSubject, path: string): string {
  const place = path.split('/').map(encodeURIComponent).join('/')
  return `${endpoint}/${type === 'dataset' ? 'datasets/' : ''}${id}/resolve/${encodeURIComponent(revision)}/${place}`
}

/**
 * @returns what cut the body off, where something did; `request` has its own patience with answers that do not begin
 */
async function transfer(
  partial: PartialFile,
  options: DownloadOptions,
  count: () => void,
): Promise<TransportError | undefined> {
  const { file, settings, subject } = options
  const url = fileUrl(settings, subject, file.path)
  // Compressed on the way, a range would be one of other bytes.
  const headers: Record<string, string> = { 'accept-encoding': 'identity' }
  if (partial.size > 0) headers.range = `bytes=${partial.size}-`
  const { response, pieces } = await request(url, { ...options, headers })
  if (partial.size > 0 && !response.headers.get('content-range')?.startsWith(`bytes ${partial.size}-`)) {
    // The whole file comes instead.
    await partial.restart()
    count()
  }
  try {
    const holdsToken = tokenSearch(settings.token)
    for await (const piece of pieces()) {
      if (holdsToken(piece)) {
        await partial.restart()
        throw new HubError(
          `[hub] ${what(subject)} from ${settings.endpoint} holds the access token from ${settings.token?.source}, which only the server can ` +
            'have put there; nothing of it was kept: check HF_ENDPOINT, and make another token',
          { cacheMayServe: false },
        )
      }
      if (partial.size + piece.byteLength > file.size) {
        await partial.restart()
        throw wrongSize(options, 'more')
      }
      await partial.append(piece)
      count()
    }
  } catch (error) {
    if (error instanceof TransportError) return error
    throw error
  }
  return partial.size < file.size ? wrongSize(options, formatBytes(partial.size)) : undefined
}

function wrongSize({ file, settings, subject }: DownloadOptions, got: string): TransportError {
  return new TransportError(
    `[hub] expected ${file.size} bytes of ${what(subject)} from ${settings.endpoint}, got ${got}; try again, and check the proxy or ` +
      'mirror in between',
  )
}

function wrongChecksum({ file, settings, subject }: DownloadOptions, got: string): HubError {
  const kind = file.etag.length === 64 ? 'SHA-256' : 'Git object id'
  return new HubError(
    `[hub] expected ${kind} ${file.etag} of ${what(subject)} from ${settings.endpoint}, got ${got}; nothing of it was kept: try again, ` +
      'and check the proxy or mirror in between',
  )
}
