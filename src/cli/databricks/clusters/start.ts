/** @file `lowrank databricks clusters start`: starts a cluster, or waits for one that starts already. */

import type { Command } from '../../command.js'
import { JSON_OBJECT } from '../../flags.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from '../connection-flags.js'
import { expectWord } from '../given.js'
import { writeFields, writeJson } from '../output.js'
import { showWait, WAIT_FLAGS, type WaitFlags } from '../waiting.js'
import { CLUSTER_ID, clusterFields, clusterGoesOn } from './cluster.js'

interface StartFlags extends ConnectionFlags, WaitFlags {
  readonly json?: boolean
}

interface Start extends StartFlags {
  readonly id: string
}

const NAME = 'databricks clusters start'

export const command: Command<StartFlags, Start> = {
  summary: 'start a cluster and wait until it runs',
  details: 'Ctrl-C ends the wait, and the cluster goes on. The exit code is 1 where it does not come to run.',
  arguments: [{ name: CLUSTER_ID.argument, help: CLUSTER_ID.help, otherwise: 'needed' }],
  flags: { ...WAIT_FLAGS, json: JSON_OBJECT, ...CONNECTION_FLAGS },
  examples: [{ text: 'Start one, and wait', line: 'databricks clusters start 0101-000000-abcdefgh' }],
  check: ({ flags, words: [word] }) => ({ ...flags, id: expectWord(NAME, `the ${CLUSTER_ID.help}`, word) }),
  async run({ id, json, noWait, ...flags }) {
    const { startCluster } = await import('../../../databricks/clusters.js')
    const cluster = await showWait(`The cluster ${id}`, flags, (here, { made }) => {
      made(clusterGoesOn(id))
      return startCluster(id, { databricks: connectionOf(flags), ...here, wait: noWait !== true })
    })
    if (json) writeJson(cluster)
    else writeFields(clusterFields(cluster))
  },
}
