/** @file What the Hub client works with: options first, then the environment variables of huggingface_hub. */

import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { describeValue } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { boolean, textOf } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import { readRegularFile } from '../regular-file.js'

/** Options of everything that takes a Hub id, named as in huggingface_hub. */
export interface HubOptions {
  /**
   * Branch, tag or commit.
   * @default 'main'
   */
  revision?: string
  /**
   * Access token; never part of an error.
   * @default HF_TOKEN, then the file that `hf auth login` writes
   */
  token?: string
  /**
   * Directory of the Hub cache.
   * @default HF_HUB_CACHE, then `hub` in HF_HOME, then ~/.cache/huggingface/hub
   */
  cacheDir?: string
  /**
   * Use what the cache has and send no request.
   * @default false, or true where HF_HUB_OFFLINE says so
   */
  localFilesOnly?: boolean
}

/** `HubOptions`, to be part of the table of every function that takes a Hub id. */
export const HUB_OPTIONS = {
  revision: {
    rule: textOf('a branch, tag or commit'),
    otherwise: 'main',
    example: 'main',
    help: 'branch, tag or commit of a Hub model',
    flag: { name: '--revision', argument: 'name' },
  },
  token: {
    rule: { ...textOf('an access token as text'), isSecret: true },
    example: 'hf_...',
    otherwise: 'HF_TOKEN, then the file that `hf auth login` writes',
    help: 'access token of the Hub; better kept in HF_TOKEN',
  },
  cacheDir: {
    rule: textOf('the path of a directory'),
    example: '/data/hub',
    otherwise: 'HF_HUB_CACHE, then `hub` in HF_HOME, then ~/.cache/huggingface/hub',
    help: 'directory of the Hub cache',
  },
  localFilesOnly: {
    rule: boolean,
    example: true,
    otherwise: 'false, or true where HF_HUB_OFFLINE says so',
    help: 'use what the Hub cache has and send no request',
  },
} as const satisfies OptionTable<HubOptions>

/** An access token and where it was found. */
export interface HubToken {
  readonly value: string
  readonly source: string
  /**
   * What the header `authorization` says.
   * @default the value as a bearer token
   */
  readonly authorization?: string
}

/** `HubOptions` and environment, settled. */
export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string
  readonly cacheDir: string
  readonly token: HubToken | undefined
  /** What forbids requests, as one writes it; undefined: nothing does. */
  readonly offline: string | undefined
  /** Milliseconds until an answer must begin, and between two pieces of it. */
  readonly answerTimeout: number
  readonly pieceTimeout: number
}

const DEFAULT_ENDPOINT = 'https://huggingface.co'
const DEFAULT_TIMEOUT_SECONDS = 10
/** Timers count milliseconds in 31 bits, and fire at once where there are more. */
const LONGEST_TIMEOUT_SECONDS = 2_000_000
const LARGEST_TOKEN_FILE = 10_000

/** @throws when a variable or an option holds what cannot be used */
export async function readHubSettings(options: HubOptions): Promise<HubSettings> {
  const { HF_ENDPOINT, HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE, HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT } =
    process.env
  const endpoint = (HF_ENDPOINT || DEFAULT_ENDPOINT).replace(/\/+$/, '')
  // Before anything shows it.
  if (endpoint.includes('@')) {
    throw new OptionError(
      '[hub] expected an address without name and password for HF_ENDPOINT; give the access token in HF_TOKEN',
    )
  }
  if (!URL.canParse(endpoint) || !/^https?:/.test(endpoint)) {
    throw new OptionError(`[hub] expected an http or https address for HF_ENDPOINT, got ${describeValue(HF_ENDPOINT)}`)
  }
  const environmentOffline = isTrue(HF_HUB_OFFLINE || TRANSFORMERS_OFFLINE)
    ? `${HF_HUB_OFFLINE ? 'HF_HUB_OFFLINE' : 'TRANSFORMERS_OFFLINE'}=1`
    : undefined
  return {
    endpoint,
    cacheDir: options.cacheDir ? fromHome(options.cacheDir) : hubCacheDirectory(),
    token: await findToken(options.token),
    offline: options.localFilesOnly ? 'localFilesOnly' : environmentOffline,
    answerTimeout: milliseconds(HF_HUB_ETAG_TIMEOUT),
    pieceTimeout: milliseconds(HF_HUB_DOWNLOAD_TIMEOUT),
  }
}

/** The directory of the Hub cache, from the same environment variables as huggingface_hub. */
export function hubCacheDirectory(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE } = process.env
  const explicit = HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE
  return explicit ? fromHome(explicit) : join(hubHome(), 'hub')
}

function hubHome(): string {
  const { HF_HOME, XDG_CACHE_HOME } = process.env
  if (HF_HOME) return fromHome(HF_HOME)
  return join(XDG_CACHE_HOME ? fromHome(XDG_CACHE_HOME) : join(homedir(), '.cache'), 'huggingface')
}

async function findToken(given: string | undefined): Promise<HubToken | undefined> {
  const { HF_TOKEN, HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, HF_HUB_DISABLE_IMPLICIT_TOKEN } = process.env
  if (given !== undefined) return checkToken(given, 'the option token')
  if (isTrue(HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined
  const fromEnvironment =
    checkToken(HF_TOKEN, 'HF_TOKEN') ?? checkToken(HUGGING_FACE_HUB_TOKEN, 'HUGGING_FACE_HUB_TOKEN')
  if (fromEnvironment) return fromEnvironment
  const path = HF_TOKEN_PATH ? fromHome(HF_TOKEN_PATH) : join(hubHome(), 'token')
  const bytes = await readRegularFile(path, { where: 'hub', limit: LARGEST_TOKEN_FILE }).catch(() => undefined)
  return checkToken(bytes?.toString(), path)
}

/** What cannot stand in a header is refused here, so that no later error shows the token. */
function checkToken(text: string | undefined, source: string): HubToken | undefined {
  const value = text?.trim()
  if (!value) return undefined
  if (!/^[\x21-\x7e]+$/.test(value)) {
    throw new OptionError(
      `[hub] expected an access token such as hf_... in ${source}, got text that is none; correct it`,
    )
  }
  return { value, source }
}

/** `~` and `$VARIABLE` as huggingface_hub takes them. */
function fromHome(path: string): string {
  const home = path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : path
  return resolve(home.replace(/\$(?:(\w+)|\{(\w+)\})/g, (whole, bare, braced) => process.env[bare ?? braced] ?? whole))
}

function isTrue(value: string | undefined): boolean {
  return ['1', 'ON', 'YES', 'TRUE'].includes(value?.toUpperCase() ?? '')
}

function milliseconds(seconds: string | undefined): number {
  const value = Number(seconds)
  return 1000 * (value > 0 ? Math.min(value, LONGEST_TIMEOUT_SECONDS) : DEFAULT_TIMEOUT_SECONDS)
}
