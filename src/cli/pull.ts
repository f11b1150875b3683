/** @file `lowrank pull`: a data set of Kaggle becomes files. */

import { formatBytes } from '../bytes.js'
import { PULL_KAGGLE_OPTIONS } from '../kaggle/options.js'
import { createBar } from '../progress/progress.js'
import type { Command } from './command.js'
import { JSON_OBJECT } from './flags.js'
import { untilSignal } from './until-signal.js'
import { UsageError } from './usage-error.js'

interface PullFlags {
  readonly output?: string
  readonly json?: boolean
}

interface Pull extends PullFlags {
  readonly name: string
}

export const command: Command<PullFlags, Pull> = {
  summary: 'fetch a data set of Kaggle and unpack it',
  details:
    "The credentials are those of Kaggle's own programs: KAGGLE_API_TOKEN, KAGGLE_USERNAME with KAGGLE_KEY, or the files " +
    'access_token and kaggle.json in ~/.kaggle. A transfer that is cut goes on the next time.',
  arguments: [
    { name: 'source', help: 'kaggle:OWNER/NAME, with /versions/NUMBER for an older one', otherwise: 'needed' },
  ],
  flags: {
    output: {
      ...PULL_KAGGLE_OPTIONS.outputDir,
      flag: { name: '--output', argument: 'dir', group: 'Output' },
    },
    json: JSON_OBJECT,
  },
  examples: [
    { text: 'Fetch the loans of Lending Club', line: 'pull kaggle:wordsforthewise/lending-club --output loans' },
  ],
  check({ flags, words: [name = ''] }) {
    if (/^kaggle:./.test(name)) return { ...flags, name }
    throw new UsageError(
      `[pull] expected kaggle:OWNER/NAME, got ${name === '' ? 'nothing' : JSON.stringify(name)}; data sets of the Hub need no pull: give their id as the data set`,
    )
  },
  async run({ name, output, json }) {
    const { pullKaggle } = await import('../kaggle/pull.js')
    const bar = createBar()
    const onProgress = (step: 'fetch' | 'unpack', bytes: number, total: number): void => {
      const text = `${formatBytes(bytes)} of ${formatBytes(total)}`
      const label = { text: step === 'fetch' ? 'Fetching' : 'Unpacking', importance: 1 }
      bar.show({ label, fraction: total === 0 ? 1 : bytes / total, parts: [{ text, importance: 2 }] })
    }
    const pulled = await untilSignal((signal) =>
      pullKaggle(name, { ...(output !== undefined && { outputDir: output }), onProgress, signal }).finally(() =>
        bar.close(),
      ),
    )
    const lines = pulled.files.map((file) => `  ${file.name}, ${formatBytes(file.bytes)}`)
    const text = [`Wrote ${lines.length} ${lines.length === 1 ? 'file' : 'files'} to ${pulled.outputDir}:`, ...lines]
    process.stdout.write(`${json ? JSON.stringify(pulled) : text.join('\n')}\n`)
  },
}
