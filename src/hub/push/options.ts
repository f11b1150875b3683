/** @file The options of `pushToHub`, and what it tells. Loads nothing that asks a server. */

import { describeValue } from '../../errors.js'
import { OptionError } from '../../lowrank-error.js'
import { boolean, callback, instance, listOf, type Rule, text, textOf } from '../../options/rules.js'
import type { OptionTable } from '../../options/table.js'
import { HUB_OPTIONS } from '../settings.js'

/** A file as it goes to the Hub. */
export interface PushedFile {
  /** In the repository, with forward slashes. */
  readonly path: string
  readonly size: number
}

/** Files go to the Hub. The first event tells of all of them before they begin; the last has all bytes. */
export interface PushEvent {
  readonly type: 'push'
  readonly id: string
  /** Those that the repository does not have yet with this content. */
  readonly files: readonly PushedFile[]
  /** Bytes that were sent. */
  readonly bytes: number
  readonly totalBytes: number
}

/** How `pushToHub` pushes; named as in huggingface_hub and transformers. */
export interface PushToHubOptions {
  /**
   * Access token that may write; never part of an error.
   * @default HF_TOKEN, then the file that `hf auth login` writes
   */
  token?: string
  /**
   * Whether a repository that is made for it is private; one that is there stays as it is.
   * @default what the owner of the repository has set, mostly public
   */
  private?: boolean
  /**
   * Branch; it is made where it is not there.
   * @default 'main'
   */
  revision?: string
  /**
   * First line of the commit.
   * @default 'Upload adapter' or 'Upload model'
   */
  commitMessage?: string
  /**
   * Folder of the repository that the files go into.
   * @default the repository itself
   */
  pathInRepo?: string
  /**
   * More files of the directory that go along, such as 'train.yaml' or the optimizer state of a checkpoint.
   * @default none
   */
  include?: readonly string[]
  /**
   * Asks what would be sent, and sends nothing.
   * @default false
   */
  dryRun?: boolean
  /**
   * Is told how far it is.
   * @default none
   */
  onProgress?: (event: PushEvent) => void
  /**
   * Ends it; the repository then is what it was.
   * @default none
   */
  signal?: AbortSignal
}

/** A folder or a file below a directory, with forward slashes. */
const inside: Rule = {
  expected: 'a path below the directory, with forward slashes and without ..',
  accepts: (value) => typeof value === 'string' && isInside(value),
  schema: { type: 'string', minLength: 1 },
}

function isInside(path: string): boolean {
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && !/[\\\0]/.test(part))
}

/** The options of `pushToHub`. */
export const PUSH_TO_HUB_OPTIONS = {
  token: { ...HUB_OPTIONS.token, help: 'access token of the Hub that may write; better kept in HF_TOKEN' },
  private: {
    rule: boolean,
    otherwise: 'what the owner of the repository has set, mostly public',
    help: 'whether a repository that is made for it is private; one that is there stays as it is',
  },
  revision: { rule: textOf('a branch'), otherwise: 'main', help: 'branch; it is made where it is not there' },
  commitMessage: { rule: text, otherwise: "'Upload adapter' or 'Upload model'", help: 'first line of the commit' },
  pathInRepo: {
    rule: inside,
    otherwise: 'the repository itself',
    help: 'folder of the repository that the files go into',
  },
  include: {
    rule: listOf(inside, 'paths below the directory, with forward slashes and without ..'),
    otherwise: 'none',
    help: 'more files of the directory that go along, such as train.yaml or the optimizer state of a checkpoint',
  },
  dryRun: { rule: boolean, default: false, help: 'asks what would be sent, and sends nothing' },
  onProgress: { rule: callback, otherwise: 'none', help: 'is told how far it is' },
  signal: {
    rule: instance('an AbortSignal', (value) => value instanceof AbortSignal),
    otherwise: 'none',
    help: 'ends it; the repository then is what it was',
  },
} as const satisfies OptionTable<PushToHubOptions>

const ID = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/

/** @throws OptionError for what is no OWNER/NAME */
export function expectId(where: string, name: string, id: unknown): void {
  if (typeof id === 'string' && id.length <= 200 && ID.test(id) && !/--|\.\./.test(id)) return
  throw new OptionError(
    `[${where}] expected OWNER/NAME for ${name}, got ${describeValue(id)}; name a repository of the Hub`,
  )
}
