/** @file What a workspace's directories hold, and what is told of transfers. Types alone. */

/** A file or directory of a workspace. */
export interface DirectoryEntry {
  /** From the root of its system: `/Volumes/c/s/v/file`. */
  readonly path: string
  /** The last part of the path. */
  readonly name: string
  readonly isDirectory: boolean
  /**
   * Bytes.
   * @default undefined for directories, and for notebooks
   */
  readonly fileSize?: number
  /**
   * Milliseconds since 1970, by the clock of the service.
   * @default undefined where the service does not say
   */
  readonly lastModified?: number
  /**
   * What the workspace has at the path: `FILE`, `NOTEBOOK`, `DIRECTORY`, `REPO`, ...
   * @default undefined outside of `workspace:`
   */
  readonly objectType?: string
}

/** How far a transfer is. */
export interface TransferEvent {
  readonly type: 'upload' | 'download'
  /** The file in the workspace. */
  readonly path: string
  /** Bytes that are there, or on their way. */
  readonly bytes: number
  /** Bytes of the whole; undefined for a stream of unknown length. */
  readonly totalBytes: number | undefined
}
