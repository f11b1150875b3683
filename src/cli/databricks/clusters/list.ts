/** @file `lowrank databricks clusters list`. */

import { listCommand } from '../things.js'

export const command = listCommand({
  summary: 'list the clusters of a workspace',
  examples: [{ text: 'See which clusters run', line: 'databricks clusters list' }],
  heads: ['ID', 'NAME', 'STATE'],
  load: async () => (await import('../../../databricks/clusters.js')).listClusters,
  row: ({ clusterId, clusterName, state }) => [clusterId, clusterName, state],
  none: 'No clusters',
})
