/** @file The options of what moves files to and from a workspace. */

import { boolean, callback, instance, integer, listOf, oneOf, text } from '../../../options/rules.js'
import { SIGNAL } from '../../../options/shared.js'
import type { OptionTable } from '../../../options/table.js'
import type { DatabricksClient, DatabricksOptions } from '../connect.js'
import type { TransferEvent } from './entries.js'
import { LARGEST_PART, SMALLEST_PART } from './part-plan.js'
import type { SyncEvent } from './sync-events.js'
import type { WorkspaceFormat } from './workspace-files.js'

/** Options of calls about files of a workspace. */
export interface FileOptions {
  /**
   * The workspace: how to connect, or a client that `connectDatabricks` gave.
   * @default the environment and ~/.databrickscfg say
   */
  databricks?: DatabricksOptions | DatabricksClient
  /**
   * Ends the work with its reason.
   * @default none
   */
  signal?: AbortSignal
}

/** Options of `uploadFile`. */
export interface UploadFileOptions extends FileOptions {
  /**
   * Whether a file that is there is replaced; else it is an error.
   * @default true
   */
  overwrite?: boolean
  /**
   * Bytes of a part, from 5 MiB to 4 GiB.
   * @default the smallest of 10, 20, 50, 100, 200, 500 MiB, 1, 2 and 4 GiB that makes at most 100 parts
   */
  partSize?: number
  /**
   * Parts that are under way at the same time.
   * @default 10; 4 for streams, whose parts are in memory
   */
  parallelism?: number
  /**
   * Whether an upload of the same file that was killed is gone on with.
   * @default true
   */
  resume?: boolean
  /**
   * What a file becomes in `workspace:`; `AUTO` decides by name and content.
   * @default 'AUTO'
   */
  format?: WorkspaceFormat
  /**
   * Language of a notebook whose format is SOURCE: PYTHON, SQL, SCALA or R.
   * @default none
   */
  language?: string
  /**
   * Told how far the upload is.
   * @default none
   */
  onProgress?: (event: TransferEvent) => void
}

/** Options of `downloadFile`. */
export interface DownloadFileOptions extends FileOptions {
  /**
   * Whether a file that is there is replaced; else it is an error.
   * @default true
   */
  overwrite?: boolean
  /**
   * Ranges of a large file that are under way at the same time.
   * @default 3
   */
  parallelism?: number
  /**
   * Whether a download of the same file that was cut short is gone on with.
   * @default true
   */
  resume?: boolean
  /**
   * How a notebook of `workspace:` is given.
   * @default 'AUTO'
   */
  format?: WorkspaceFormat
  /**
   * Told how far the download is.
   * @default none
   */
  onProgress?: (event: TransferEvent) => void
}

/** Options of `listDirectory` and `deleteDirectory`. */
export interface DirectoryOptions extends FileOptions {
  /**
   * Whether all that lies below is meant too.
   * @default false
   */
  recursive?: boolean
}

/** When a file of both sides is copied. */
export type SyncComparison = 'mtime' | 'size' | 'content' | 'always'

/** Options of `syncDirectory`. */
export interface SyncDirectoryOptions extends FileOptions {
  /**
   * When a file that both sides have is copied: `mtime`, where sizes differ or the source is newer; `size`, where sizes
   * differ; `content`, where bytes differ, for which both sides are read; `always`.
   * @default 'mtime'
   */
  compare?: SyncComparison
  /**
   * Whether what the source lacks is removed from the target. What is excluded stays.
   * @default false
   */
  delete?: boolean
  /**
   * Whether only events tell what would be done.
   * @default false
   */
  dryRun?: boolean
  /**
   * Patterns of files that are passed over on both sides, as .gitignore has them.
   * @default none
   */
  exclude?: readonly string[]
  /**
   * Patterns of files; others are passed over.
   * @default all
   */
  include?: readonly string[]
  /**
   * Files that are under way at the same time.
   * @default 16
   */
  concurrency?: number
  /**
   * Told of each file that is copied, removed or passed over.
   * @default none
   */
  onProgress?: (event: SyncEvent) => void
}

const WORKSPACE_FORMATS = ['AUTO', 'SOURCE', 'HTML', 'JUPYTER', 'DBC', 'R_MARKDOWN', 'RAW']

/** The options of calls about files. */
export const FILE_OPTIONS = {
  databricks: {
    rule: instance(
      'options of connectDatabricks, or the client that it gave',
      (value) => typeof value === 'object' && value !== null,
    ),
    otherwise: 'the environment and ~/.databrickscfg say',
    help: 'the workspace: how to connect, or a client that connectDatabricks gave',
  },
  signal: SIGNAL,
} as const satisfies OptionTable<FileOptions>

const OVERWRITE = {
  rule: boolean,
  default: true,
  help: 'whether a file that is there is replaced; else it is an error',
}

/** The options of `uploadFile`. */
export const UPLOAD_FILE_OPTIONS = {
  ...FILE_OPTIONS,
  overwrite: OVERWRITE,
  partSize: {
    rule: integer({ min: SMALLEST_PART, max: LARGEST_PART }),
    otherwise: 'the smallest of 10, 20, 50, 100, 200, 500 MiB, 1, 2 and 4 GiB that makes at most 100 parts',
    help: 'bytes of a part, from 5 MiB to 4 GiB',
  },
  parallelism: {
    rule: integer({ min: 1 }),
    otherwise: '10; 4 for streams, whose parts are in memory',
    help: 'parts that are under way at the same time',
  },
  resume: { rule: boolean, default: true, help: 'whether an upload of the same file that was killed is gone on with' },
  format: {
    rule: oneOf(WORKSPACE_FORMATS),
    default: 'AUTO',
    help: 'what a file becomes in workspace:; AUTO decides by name and content',
  },
  language: {
    rule: oneOf(['PYTHON', 'SQL', 'SCALA', 'R']),
    otherwise: 'none',
    help: 'language of a notebook whose format is SOURCE',
  },
  onProgress: { rule: callback, otherwise: 'none', help: 'told how far the upload is' },
} as const satisfies OptionTable<UploadFileOptions>

/** The options of `downloadFile`. */
export const DOWNLOAD_FILE_OPTIONS = {
  ...FILE_OPTIONS,
  overwrite: OVERWRITE,
  parallelism: {
    rule: integer({ min: 1 }),
    otherwise: '3',
    help: 'ranges of a large file that are under way at the same time',
  },
  resume: {
    rule: boolean,
    default: true,
    help: 'whether a download of the same file that was cut short is gone on with',
  },
  format: { rule: oneOf(WORKSPACE_FORMATS), default: 'AUTO', help: 'how a notebook of workspace: is given' },
  onProgress: { rule: callback, otherwise: 'none', help: 'told how far the download is' },
} as const satisfies OptionTable<DownloadFileOptions>

/** The options of `listDirectory` and `deleteDirectory`. */
export const DIRECTORY_OPTIONS = {
  ...FILE_OPTIONS,
  recursive: { rule: boolean, default: false, help: 'whether all that lies below is meant too' },
} as const satisfies OptionTable<DirectoryOptions>

const PATTERNS = listOf(text, 'a list of patterns')

/** The options of `syncDirectory`. */
export const SYNC_DIRECTORY_OPTIONS = {
  ...FILE_OPTIONS,
  compare: {
    rule: oneOf(['mtime', 'size', 'content', 'always']),
    default: 'mtime',
    help: 'when a file that both sides have is copied: mtime, where sizes differ or the source is newer; size, where sizes differ; content, where bytes differ, for which both sides are read; always',
  },
  delete: {
    rule: boolean,
    default: false,
    help: 'whether what the source lacks is removed from the target; what is excluded stays',
  },
  dryRun: { rule: boolean, default: false, help: 'whether only events tell what would be done' },
  exclude: {
    rule: PATTERNS,
    otherwise: 'none',
    help: 'patterns of files that are passed over on both sides, as .gitignore has them',
  },
  include: { rule: PATTERNS, otherwise: 'all', help: 'patterns of files; others are passed over' },
  concurrency: { rule: integer({ min: 1, max: 256 }), default: 16, help: 'files that are under way at the same time' },
  onProgress: { rule: callback, otherwise: 'none', help: 'told of each file that is copied, removed or passed over' },
} as const satisfies OptionTable<SyncDirectoryOptions>
