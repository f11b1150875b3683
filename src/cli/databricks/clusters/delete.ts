/** @file `lowrank databricks clusters delete`. */

import { endCommand } from '../things.js'
import { CLUSTER_ID } from './cluster.js'

export const command = endCommand({
  ...CLUSTER_ID,
  name: 'databricks clusters delete',
  summary: 'terminate a cluster and remove it for good',
  details: 'The Databricks CLI calls this clusters permanent-delete; its clusters delete is clusters stop here.',
  examples: [{ text: 'Remove a cluster', line: 'databricks clusters delete 0101-000000-abcdefgh' }],
  load: async () => (await import('../../../databricks/clusters.js')).deleteCluster,
  done: 'Deleted',
})
