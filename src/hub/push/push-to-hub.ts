/**
 * @file Pushing to the Hub: an adapter, a model or a card becomes one commit of a repository. What is there with the
 * same content is not sent again, and a push that changes nothing makes no commit.
 */

import { pathToFileURL } from 'node:url'
import { describeValue, expectPath } from '../../errors.js'
import { withoutToken } from '../../http/secret.js'
import { OptionError } from '../../lowrank-error.js'
import { readOptions } from '../../options/table.js'
import { toError } from '../../values.js'
import { HubError } from '../hub-error.js'
import { type HubSettings, readHubSettings } from '../settings.js'
import { hasContent, type LocalFile, localFiles } from './local-files.js'
import { expectId, PUSH_TO_HUB_OPTIONS, type PushEvent, type PushedFile, type PushToHubOptions } from './options.js'
import { createPushFetch } from './push-fetch.js'

/** What a push did. */
export interface PushResult {
  readonly id: string
  /** The page of the repository. */
  readonly url: string
  readonly revision: string
  /** The commit that has the files now; undefined where `dryRun` found no repository. */
  readonly commit: string | undefined
  /** False where the repository had all of it already, and with `dryRun`. */
  readonly isNew: boolean
  /** Every file that was looked at, with what became of it. */
  readonly files: readonly (PushedFile & { readonly isSent: boolean })[]
  /** With `dryRun`: why the Hub could not be asked what it has already. `files` are then all that could be sent. */
  readonly notAsked?: string
}

/** How a repository is asked for. */
export interface HubTarget {
  readonly id: string
  readonly revision: string
  readonly isPrivate: boolean | undefined
  readonly settings: HubSettings
  readonly signal: AbortSignal | undefined
}

/** Commits of others may come in between so often. */
const MOST_COMMITS = 3
/** Milliseconds between two events. */
const EVENT_INTERVAL = 100

/**
 * Pushes an adapter or a model to the Hub, as one commit or not at all. The repository and the branch are made where
 * they are not there. What goes up: weights, configuration, tokenizer, checksums, the model card and the record of the
 * run; no optimizer state, and nothing else, unless `include` names it.
 * @param directory of the adapter, of the model, or of a run that is complete
 * @param id OWNER/NAME
 * @throws OptionError for options and ids that cannot be
 * @throws HubError where the Hub refuses or cannot be reached; the repository is what it was
 */
export async function pushToHub(directory: string, id: string, options: PushToHubOptions = {}): Promise<PushResult> {
  expectPath('push', 'directory', directory)
  const resolved = readOptions('push', options, PUSH_TO_HUB_OPTIONS)
  const { include, pathInRepo, commitMessage, dryRun, onProgress } = resolved
  const target = await openTarget(id, resolved)
  const { kind, files } = await localFiles(directory, include)
  const placed =
    pathInRepo === undefined ? files : files.map((file) => ({ ...file, path: `${pathInRepo}/${file.path}` }))
  const message = commitMessage ?? `Upload ${kind}`
  if (!dryRun) return await pushFiles(target, placed, { message, onProgress })
  if (target.settings.offline !== undefined) return unasked(target, placed, `${target.settings.offline} forbids it`)
  return await pushFiles(target, placed, { message, dryRun, onProgress }).catch((error: unknown) => {
    // Without a token, or without an answer, all that could go up is still known.
    const isUnknown = error instanceof HubError && (error.status === undefined || target.settings.token === undefined)
    if (!isUnknown || resolved.signal?.aborted) throw error
    return unasked(target, placed, error.message)
  })
}

/** What would go up into a repository of which nothing is known. */
function unasked({ id, revision, settings }: HubTarget, files: readonly LocalFile[], reason: string): PushResult {
  return {
    id,
    url: `${settings.endpoint}/${id}`,
    revision,
    commit: undefined,
    isNew: false,
    files: files.map(({ path, size }) => ({ path, size, isSent: true })),
    notAsked: reason,
  }
}

/** Whom to ask for what. @throws OptionError for an id that cannot be, and where requests are forbidden */
export async function openTarget(
  id: string,
  { token, revision = 'main', private: isPrivate, signal, dryRun }: PushToHubOptions,
): Promise<HubTarget> {
  expectId('push', 'the repository', id)
  const settings = await readHubSettings(token === undefined ? {} : { token })
  if (settings.offline !== undefined && !dryRun)
    throw new OptionError(`[push] expected that the Hub may be asked, but ${settings.offline} forbids it; unset it`)
  return { id, revision, isPrivate, settings, signal }
}

/** Makes the repository where it is not there. @throws HubError where the token may not write */
export async function expectRepository(target: HubTarget): Promise<void> {
  const fetch = fetchOf(target, () => {})
  if ((await headOf(target, fetch)) === undefined) await createRepository(target, fetch)
}

/** How files are committed. */
export interface CommitSettings {
  readonly message: string
  readonly dryRun?: boolean
  readonly onProgress?: ((event: PushEvent) => void) | undefined
}

/** Brings files into one commit. */
export async function pushFiles(
  target: HubTarget,
  files: readonly LocalFile[],
  { message, dryRun, onProgress }: CommitSettings,
): Promise<PushResult> {
  const { id, revision, settings, signal } = target
  const report = createReport(id, onProgress)
  const fetch = fetchOf(target, report.add)
  const done = (commit: string | undefined, isNew: boolean, sent: readonly LocalFile[]): PushResult => ({
    id,
    url: `${settings.endpoint}/${id}`,
    revision,
    commit,
    isNew,
    files: files.map(({ path, size }) => ({ path, size, isSent: sent.some((file) => file.path === path) })),
  })
  let sent: readonly LocalFile[] = []
  let lost: unknown
  for (let attempt = 1; ; attempt++) {
    const head = await headOf(target, fetch)
    const present = head === undefined ? new Map<string, RemoteFile>() : await remoteFiles(target, head, fetch)
    const lacking: LocalFile[] = []
    for (const file of files) {
      signal?.throwIfAborted()
      const found = present.get(file.path)
      if (found === undefined || !(await hasContent(file, found))) lacking.push(file)
    }
    if (dryRun) return done(head, false, lacking)
    // An answer that was lost may have been that of a commit.
    if (lacking.length === 0) {
      if (lost !== undefined) report.end()
      return done(head, lost !== undefined, sent)
    }
    if (lost !== undefined && attempt > MOST_COMMITS) throw lost
    sent = lacking
    report.begin(lacking)
    const parent = head ?? (await createRepository(target, fetch))
    try {
      const commit = await commitFiles(target, lacking, { message, parent, fetch })
      report.end()
      return done(commit, true, sent)
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof HubError) || !mayHaveCommitted(error)) throw error
      lost = error
    }
  }
}

/** Whether the repository has to be looked at again: another commit came first, or the answer did not come. */
function mayHaveCommitted({ status }: HubError): boolean {
  return status === undefined || status === 409 || status === 412 || status >= 500
}

interface RemoteFile {
  readonly size: number
  readonly sha256: string | undefined
  readonly oid: string | undefined
}

function fetchOf({ settings, id, signal }: HubTarget, onBytes: (count: number) => void): typeof globalThis.fetch {
  return createPushFetch({ settings, id, signal, onBytes })
}

/** The commit that the branch stands for; undefined where there is no repository or no such branch. */
async function headOf(target: HubTarget, fetch: typeof globalThis.fetch): Promise<string | undefined> {
  const { id, revision, settings } = target
  try {
    const url = `${settings.endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}?expand=sha`
    const { sha } = (await (await fetch(url)).json()) as { sha?: unknown }
    if (typeof sha === 'string' && /^[0-9a-f]{40}$/.test(sha)) return sha
    throw unreadable(target, `a commit as sha, got ${describeValue(sha)}`)
  } catch (error) {
    if (error instanceof HubError && isMissing(error)) return undefined
    if (error instanceof HubError) throw error
    throw unreadable(target, `JSON (${toError(error).message})`)
  }
}

/** The Hub says of what it does not show that it is not there, and of what is not there that one may not see it. */
function isMissing({ status, serverCode }: HubError): boolean {
  return status === 404 || (status === 401 && serverCode === 'RepoNotFound')
}

async function remoteFiles(
  target: HubTarget,
  head: string,
  fetch: typeof globalThis.fetch,
): Promise<Map<string, RemoteFile>> {
  const { id, settings } = target
  const { listFiles } = await import('@huggingface/hub')
  const files = new Map<string, RemoteFile>()
  const repo = { type: 'model', name: id } as const
  await asHubErrors(target, async () => {
    for await (const { type, path, size, oid, lfs } of listFiles({
      repo,
      revision: head,
      recursive: true,
      hubUrl: settings.endpoint,
      fetch,
    }))
      if (type === 'file') files.set(path, { size: lfs?.size ?? size, sha256: lfs?.oid, oid })
  })
  return files
}

/** Makes what is not there: the repository, then the branch. @returns the commit that it begins with */
async function createRepository(target: HubTarget, fetch: typeof globalThis.fetch): Promise<string | undefined> {
  const { id, revision, isPrivate, settings } = target
  const { createRepo, createBranch } = await import('@huggingface/hub')
  const repo = { type: 'model', name: id } as const
  // The token is put into the request where it is sent, and there alone.
  const common = { repo, hubUrl: settings.endpoint, fetch, accessToken: 'hf_' }
  const unlessThere = async (make: () => Promise<unknown>): Promise<void> => {
    try {
      await asHubErrors(target, make)
    } catch (error) {
      if (!(error instanceof HubError) || error.status !== 409) throw error
    }
  }
  await unlessThere(() => createRepo({ ...common, ...(isPrivate !== undefined && { private: isPrivate }) }))
  if (revision !== 'main' && (await headOf(target, fetch)) === undefined)
    await unlessThere(() => createBranch({ ...common, branch: revision }))
  return await headOf(target, fetch)
}

async function commitFiles(
  target: HubTarget,
  files: readonly LocalFile[],
  { message, parent, fetch }: { message: string; parent: string | undefined; fetch: typeof globalThis.fetch },
): Promise<string> {
  const { id, revision, settings, signal } = target
  const { commit } = await import('@huggingface/hub')
  return await asHubErrors(target, async () => {
    const output = await commit({
      repo: { type: 'model', name: id },
      operations: files.map(({ path, from }) => ({
        operation: 'addOrUpdate' as const,
        path,
        content: pathToFileURL(from),
      })),
      title: message,
      branch: revision,
      hubUrl: settings.endpoint,
      fetch,
      // Every Hub and mirror takes files by LFS; objects that were sent before are not sent again.
      useXet: false,
      ...(parent !== undefined && { parentCommit: parent }),
      ...(signal && { abortSignal: signal }),
    })
    const oid = output?.commit.oid
    if (typeof oid === 'string' && /^[0-9a-f]{40}$/.test(oid)) return oid
    throw unreadable(target, `the id of the commit, got ${describeValue(oid)}`)
  })
}

/** What the library throws of itself becomes an error that says what to do. */
async function asHubErrors<T>(target: HubTarget, action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    target.signal?.throwIfAborted()
    if (error instanceof HubError || error instanceof OptionError) throw error
    throw unreadable(target, `an answer that can be read (${toError(error).message})`, error)
  }
}

function unreadable({ id, settings }: HubTarget, problem: string, cause?: unknown): HubError {
  const text = `[push] asked ${settings.endpoint} about "${id}" and expected ${problem}; check HF_ENDPOINT, and whether a proxy answers in its place`
  return new HubError(withoutToken(text, settings.token), { cause })
}

/** Tells of the files at once, then of bytes as they go, and of the end. */
function createReport(id: string, onProgress: CommitSettings['onProgress']) {
  let files: readonly PushedFile[] = []
  let bytes = 0
  let totalBytes = 0
  let reported = Number.NEGATIVE_INFINITY
  const tell = (): void => {
    reported = performance.now()
    onProgress?.({ type: 'push', id, files, bytes: Math.min(bytes, totalBytes), totalBytes })
  }
  return {
    begin(lacking: readonly LocalFile[]) {
      files = lacking.map(({ path, size }) => ({ path, size }))
      bytes = 0
      totalBytes = lacking.reduce((sum, { size }) => sum + size, 0)
      tell()
    },
    add(count: number) {
      bytes += count
      if (bytes < totalBytes && performance.now() - reported >= EVENT_INTERVAL) tell()
    },
    end() {
      bytes = totalBytes
      tell()
    },
  }
}
