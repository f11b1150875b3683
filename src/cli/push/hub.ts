/** @file `lowrank push hub`: an adapter, a model or the result of a run becomes a commit of a repository of the Hub. */

import { formatBytes } from '../../bytes.js'
import { expectId, PUSH_TO_HUB_OPTIONS, type PushEvent, type PushToHubOptions } from '../../hub/push/options.js'
import { path } from '../../options/rules.js'
import { createBar } from '../../progress/progress.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { untilSignal } from '../until-signal.js'
import { UsageError } from '../usage-error.js'

interface HubFlags
  extends Pick<PushToHubOptions, 'private' | 'revision' | 'commitMessage' | 'pathInRepo' | 'include' | 'dryRun'> {
  readonly evaluation?: string
  readonly json?: boolean
}

interface PushHub {
  readonly directory: string
  readonly id: string
  readonly options: PushToHubOptions
  readonly evaluation: string | undefined
  readonly json: boolean
}

const { private: isPrivate, revision, commitMessage, pathInRepo, include, dryRun } = PUSH_TO_HUB_OPTIONS

export const command: Command<HubFlags, PushHub> = {
  summary: 'push an adapter, a model or the result of a run to the Hugging Face Hub',
  details:
    'Weights, configuration, tokenizer, checksums, the model card and the record of the run go up as one commit, or not at all; ' +
    'nothing else does, unless --include names it. What is there with the same content is not sent again. The access token is that of ' +
    'HF_TOKEN or `hf auth login`, and has to be one that may write.',
  arguments: [
    { name: 'DIR', help: 'directory of the adapter, of the model, or of a run', otherwise: 'needed' },
    { name: 'NAME', help: 'the repository, as OWNER/NAME', otherwise: 'needed' },
  ],
  flags: {
    private: { ...isPrivate, flag: { name: '--private', group: 'Repository' } },
    revision: { ...revision, flag: { name: '--revision', argument: 'branch' } },
    pathInRepo: { ...pathInRepo, flag: { name: '--path-in-repo', argument: 'folder' } },
    commitMessage: { ...commitMessage, flag: { name: '--commit-message', argument: 'text' } },
    include: { ...include, flag: { name: '--include', argument: 'path', group: 'What goes up', isRepeatable: true } },
    evaluation: {
      rule: path,
      otherwise: 'none',
      help: 'a report of `lowrank eval`, whose results the model card gets before',
      flag: { name: '--evaluation', argument: 'file' },
    },
    dryRun: { ...dryRun, flag: { name: '--dry-run' } },
    json: JSON_OBJECT,
  },
  examples: [
    { text: 'Push what was trained', line: 'push hub out/mine org/support --private' },
    { text: 'See what would go up', line: 'push hub out/mine org/support --dry-run' },
  ],
  check({ flags: { evaluation, json, ...options }, words }) {
    const [directory, id] = words
    if (directory === undefined || id === undefined)
      throw new UsageError(
        `[push hub] expected a directory and a repository, got ${words.length} words; write: push hub DIR OWNER/NAME`,
      )
    expectId('push hub', 'NAME', id)
    return { directory, id, options, evaluation, json: json === true }
  },
  async run({ directory, id, options, evaluation, json }) {
    const { pushToHub } = await import('../../hub/push/push-to-hub.js')
    if (evaluation !== undefined && !options.dryRun) await addResults(directory, evaluation)
    const bar = createBar()
    let isListed = false
    const onProgress = ({ files, bytes, totalBytes }: PushEvent): void => {
      if (!isListed) process.stderr.write(`Pushing to ${id}:\n${files.map(lineOf).join('')}`)
      isListed = true
      bar.show({
        label: { text: 'Uploading', importance: 1 },
        fraction: totalBytes === 0 ? 1 : bytes / totalBytes,
        parts: [{ text: `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`, importance: 2 }],
      })
    }
    const result = await untilSignal((signal) =>
      pushToHub(directory, id, { ...options, ...(!json && { onProgress }), signal }),
    ).finally(() => bar.close())
    if (json) {
      process.stdout.write(`${JSON.stringify(result)}\n`)
      return
    }
    const { url, commit, isNew, files, notAsked } = result
    if (notAsked !== undefined)
      process.stderr.write(`What ${id} has already is not known, so all files are listed: ${notAsked}\n`)
    const lacking = files.filter(({ isSent }) => isSent)
    const text = options.dryRun
      ? lacking.length === 0
        ? `${url} has all of it already\n`
        : `Would push to ${id}:\n${lacking.map(lineOf).join('')}`
      : isNew
        ? `Pushed to ${url} as commit ${commit}\n`
        : `${url} has all of it already, in commit ${commit}\n`
    process.stdout.write(text)
  },
}

function lineOf({ path, size }: { readonly path: string; readonly size: number }): string {
  return `  ${path}, ${formatBytes(size)}\n`
}

/** Puts the results of a report into the card that is pushed. */
async function addResults(directory: string, evaluation: string): Promise<void> {
  const [{ localFiles }, { updateModelCard }, { readRegularFile }] = await Promise.all([
    import('../../hub/push/local-files.js'),
    import('../../evaluate/update-card.js'),
    import('../../regular-file.js'),
  ])
  const text = (await readRegularFile(evaluation, { where: 'push hub' })).toString()
  let report: unknown
  try {
    report = JSON.parse(text)
  } catch (error) {
    throw new UsageError(
      `[push hub] expected JSON in ${evaluation}, got none (${(error as Error).message}); give what lowrank eval wrote`,
    )
  }
  const { directory: inner } = await localFiles(directory)
  await updateModelCard(inner, report as Parameters<typeof updateModelCard>[1])
}
