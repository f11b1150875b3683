/** @file `lowrank databricks clusters create`: makes a cluster of a file's fields and waits until it runs. */

import { CLUSTER_OPTIONS, type ClusterSpec } from '../../../databricks/cluster-spec.js'
import type { Command } from '../../command.js'
import { JSON_OBJECT } from '../../flags.js'
import { CONNECTION_FLAGS, type ConnectionFlags, connectionOf } from '../connection-flags.js'
import { expectWord, readFields } from '../given.js'
import { writeFields, writeJson } from '../output.js'
import { showWait, WAIT_FLAGS, type WaitFlags } from '../waiting.js'
import { clusterFields, clusterGoesOn } from './cluster.js'

interface CreateFlags extends ConnectionFlags, WaitFlags {
  readonly json?: boolean
}

interface Create extends CreateFlags {
  readonly spec: ClusterSpec
}

const NAME = 'databricks clusters create'

export const command: Command<CreateFlags, Create> = {
  summary: 'make a cluster and wait until it runs',
  details:
    'The file has the fields of the Clusters API in YAML or JSON: cluster_name, spark_version, node_type_id, num_workers ' +
    'and others. Without autotermination_minutes it terminates after 60 minutes without work. Ctrl-C ends the wait, and ' +
    'the cluster goes on. lowrank clean deletes it.',
  arguments: [{ name: 'spec', help: 'file in YAML or JSON that says what it is like', otherwise: 'needed' }],
  flags: { ...WAIT_FLAGS, json: JSON_OBJECT, ...CONNECTION_FLAGS },
  examples: [
    { text: 'Make one, and wait', line: 'databricks clusters create cluster.yaml' },
    { text: 'Keep its id', line: 'databricks clusters create cluster.yaml --no-wait --json' },
  ],
  async check({ flags, words: [file] }) {
    const path = expectWord(NAME, 'a file that says what the cluster is like', file)
    const example = 'fields such as "cluster_name: tokens"'
    return {
      ...flags,
      spec: await readFields<ClusterSpec>(NAME, path, CLUSTER_OPTIONS, { example, nested: ['autoscale'] }),
    }
  },
  async run({ spec, json, noWait, ...flags }) {
    const { createCluster, waitForCluster } = await import('../../../databricks/clusters.js')
    const databricks = connectionOf(flags)
    const cluster = await showWait(`The cluster ${spec.clusterName}`, flags, async (here, { made }) => {
      const begun = await createCluster(spec, { databricks, ...here, wait: false })
      made(clusterGoesOn(begun.clusterId))
      here.onState(begun.state)
      return noWait ? begun : await waitForCluster(begun.clusterId, { databricks, ...here })
    })
    if (json) writeJson(cluster)
    else writeFields(clusterFields(cluster))
  },
}
