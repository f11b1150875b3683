/** @file `lowrank databricks clusters stop`. */

import { endCommand } from '../things.js'
import { CLUSTER_ID } from './cluster.js'

export const command = endCommand({
  ...CLUSTER_ID,
  name: 'databricks clusters stop',
  summary: 'terminate a cluster, which can be started again',
  details: 'The Databricks CLI calls this clusters delete. A cluster that has ended, or is gone, is left so.',
  examples: [{ text: 'Stop paying for a cluster', line: 'databricks clusters stop 0101-000000-abcdefgh' }],
  load: async () => (await import('../../../databricks/clusters.js')).terminateCluster,
  done: 'Terminating',
})
