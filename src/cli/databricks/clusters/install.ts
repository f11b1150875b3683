/** @file `lowrank databricks clusters install`: libraries for a running cluster. */

import type { Library } from '../../../databricks/clusters.js'
import type { Command } from '../../command.js'
import { JSON_OBJECT } from '../../flags.js'
import { UsageError } from '../../usage-error.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from '../connection-flags.js'
import { expectWord } from '../given.js'
import { writeJson } from '../output.js'
import { showWait, WAIT_FLAGS, type WaitFlags } from '../waiting.js'
import { CLUSTER_ID } from './cluster.js'

interface InstallFlags extends ConnectionFlags, Omit<WaitFlags, 'noWait'> {
  readonly json?: boolean
}

interface Install extends InstallFlags {
  readonly id: string
  readonly libraries: readonly Library[]
}

const NAME = 'databricks clusters install'
const { timeout, pollInterval } = WAIT_FLAGS

export const command: Command<InstallFlags, Install> = {
  summary: 'install libraries on a running cluster and wait until they are there',
  details:
    'A library is a package of PyPI (mlflow==3.17.2), or the path of a wheel or jar in a volume or the workspace. One that ' +
    'is there already is not installed twice. The exit code is 1 where one fails.',
  arguments: [
    { name: CLUSTER_ID.argument, help: CLUSTER_ID.help, otherwise: 'needed' },
    { name: 'library', help: 'package, or path that ends in .whl or .jar', otherwise: 'needed', isRepeatable: true },
  ],
  flags: { timeout, pollInterval, json: JSON_OBJECT, ...CONNECTION_FLAGS },
  examples: [
    { text: 'Install a package', line: 'databricks clusters install 0101-000000-abcdefgh mlflow==3.17.2' },
    {
      text: 'Install a wheel of a volume',
      line: 'databricks clusters install 0101-0000-abc /Volumes/a/b/c/own.whl',
    },
  ],
  check({ flags, words: [id, ...names] }) {
    if (names.length === 0 && id !== undefined)
      throw new UsageError(`[${NAME}] expected libraries behind the id of the cluster, got none; write mlflow==3.17.2`)
    return { ...flags, id: expectWord(NAME, `the ${CLUSTER_ID.help}`, id), libraries: names.map(libraryOf) }
  },
  async run({ id, libraries, json, ...flags }) {
    const { installLibraries } = await import('../../../databricks/clusters.js')
    await showWait(`The libraries of ${id}`, flags, (here, { made }) => {
      made('they go on being installed; the same command again waits for them')
      return installLibraries(id, libraries, { databricks: connectionOf(flags), ...here })
    })
    if (json) writeJson({ clusterId: id, libraries })
    else process.stdout.write(`Installed ${libraries.length === 1 ? 'a library' : `${libraries.length} libraries`}\n`)
  },
}

function libraryOf(name: string): Library {
  if (name.endsWith('.whl')) return { whl: name }
  return name.endsWith('.jar') ? { jar: name } : { pypi: { package: name } }
}
