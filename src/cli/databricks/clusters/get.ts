/** @file `lowrank databricks clusters get`. */

import { showCommand } from '../things.js'
import { CLUSTER_ID, clusterFields } from './cluster.js'

export const command = showCommand({
  ...CLUSTER_ID,
  name: 'databricks clusters get',
  summary: 'show the state of a cluster',
  examples: [{ text: 'See why a cluster ended', line: 'databricks clusters get 0101-000000-abcdefgh' }],
  load: async () => (await import('../../../databricks/clusters.js')).getCluster,
  fields: clusterFields,
})
