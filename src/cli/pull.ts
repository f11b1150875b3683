/** @file `lowrank pull`: a data set of Kaggle, or a registered model of Unity Catalog, becomes files. */

import { formatBytes } from '../bytes.js'
import { isCatalogAddress, parseModelAddress } from '../databricks/client/models/address.js'
import { PULL_OPTIONS, type PullEvent } from '../databricks/client/models/pull-options.js'
import { PULL_KAGGLE_OPTIONS } from '../kaggle/options.js'
import { createBar } from '../progress/progress.js'
import type { Command } from './command.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from './databricks/connection-flags.js'
import { JSON_OBJECT } from './flags.js'
import { untilSignal } from './until-signal.js'
import { UsageError } from './usage-error.js'

interface PullFlags extends ConnectionFlags {
  readonly output?: string
  readonly registry?: string
  readonly json?: boolean
}

interface Pull extends PullFlags {
  readonly name: string
}

export const command: Command<PullFlags, Pull> = {
  summary: 'fetch a data set of Kaggle, or an adapter or model of Unity Catalog',
  details:
    'An adapter or a model goes to the cache, and its directory is printed; what is there is not fetched again. ' +
    "For Kaggle the credentials are those of Kaggle's own programs: KAGGLE_API_TOKEN, KAGGLE_USERNAME with KAGGLE_KEY, or the files " +
    'access_token and kaggle.json in ~/.kaggle. A transfer that is cut goes on the next time.',
  arguments: [
    {
      name: 'source',
      help: 'kaggle:OWNER/NAME, with /versions/NUMBER for an older one, or uc://CATALOG.SCHEMA.MODEL@ALIAS',
      otherwise: 'needed',
    },
  ],
  flags: {
    output: {
      ...PULL_KAGGLE_OPTIONS.outputDir,
      flag: { name: '--output', argument: 'dir', group: 'Output' },
    },
    json: JSON_OBJECT,
    registry: { ...PULL_OPTIONS.registry, flag: { name: '--registry', argument: 'uri', group: 'Workspace' } },
    ...CONNECTION_FLAGS,
  },
  examples: [
    { text: 'Fetch the adapter that is in use', line: 'pull uc://main.risk.chat@champion' },
    { text: 'Fetch the loans of Lending Club', line: 'pull kaggle:wordsforthewise/lending-club --output loans' },
  ],
  check({ flags, words: [name = ''] }) {
    if (isCatalogAddress(name)) {
      parseModelAddress(name)
      if (flags.output === undefined) return { ...flags, name }
      throw new UsageError(
        '[pull] expected no --output for a model of Unity Catalog, which goes to the cache; set LOWRANK_CACHE to move that',
      )
    }
    if (/^kaggle:./.test(name)) return { ...flags, name }
    throw new UsageError(
      `[pull] expected kaggle:OWNER/NAME or uc://CATALOG.SCHEMA.MODEL@ALIAS, got ${name === '' ? 'nothing' : JSON.stringify(name)}; data sets of the Hub need no pull: give their id as the data set`,
    )
  },
  async run({ name, output, json, registry, ...connection }) {
    if (isCatalogAddress(name)) return await pullRegistered(name, { registry, connection, json: json === true })
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

async function pullRegistered(
  address: string,
  { registry, connection, json }: { registry: string | undefined; connection: ConnectionFlags; json: boolean },
): Promise<void> {
  const { pullAny } = await import('../databricks/client/models/pull.js')
  const bar = createBar()
  const onProgress = ({ bytes, totalBytes }: PullEvent): void => {
    const text = `${formatBytes(bytes)} of ${formatBytes(totalBytes)}`
    const label = { text: 'Fetching', importance: 1 }
    bar.show({ label, fraction: totalBytes === 0 ? 1 : bytes / totalBytes, parts: [{ text, importance: 2 }] })
  }
  const options = { databricks: connectionOf(connection), ...(registry !== undefined && { registry }), onProgress }
  const pulled = await untilSignal((signal) => pullAny(address, { ...options, signal }).finally(() => bar.close()))
  process.stderr.write(`${pulled.address} holds ${pulled.kind === 'adapter' ? 'an adapter' : 'a model'}\n`)
  process.stdout.write(`${json ? JSON.stringify(pulled) : pulled.directory}\n`)
}
