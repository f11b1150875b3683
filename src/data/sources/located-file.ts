/** @file A data file wherever it is: how it is opened, and what errors and lineage call it. */

import { stat } from 'node:fs/promises'
import { DataFile } from './data-file.js'

/** A file that has been found and is not open. */
export interface LocatedFile {
  /** Path as it was found, or address. */
  readonly location: string
  /** Bytes, where they are known before it is opened. */
  size(): Promise<number | undefined>
  /**
   * @param onBytes Told how many bytes have been read.
   * @param needsHash Whether its content is to have a hash. Default: true
   */
  open(onBytes: (bytes: number) => void, needsHash?: boolean): Promise<DataFile>
  /**
   * Opens it for its beginning alone, so that nothing is fetched but that.
   * @default the file is not looked at before it is read
   */
  peek?(): Promise<DataFile>
}

/** A file on the disk. */
export function localFile(path: string, location = path): LocatedFile {
  return {
    location,
    // A file that cannot be read says so when it is opened.
    size: async () => (await stat(path).catch(() => undefined))?.size,
    open: (onBytes, needsHash) => DataFile.open(path, onBytes, needsHash, location),
    peek: () => DataFile.open(path, undefined, undefined, location),
  }
}
