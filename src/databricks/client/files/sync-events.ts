/** @file What is told of a directory that is made like another. Types alone. */

/** What is done, or would be done, with one path. */
export interface SyncEvent {
  readonly type: 'sync'
  /** What happens: `skip` where both sides are the same, `link` for a link to a directory, which is passed over. */
  readonly action: 'copy' | 'delete' | 'skip' | 'link'
  /** Within the directories, with slashes. */
  readonly path: string
  /** Bytes of the file; 0 where that does not matter. */
  readonly bytes: number
  /** Files that were copied and removed so far, with this one. */
  readonly done: number
  /** Files that are known to be copied and removed so far. */
  readonly total: number
}

/** What was done, or would be. */
export interface SyncResult {
  readonly copied: number
  readonly copiedBytes: number
  readonly deleted: number
  readonly skipped: number
}
