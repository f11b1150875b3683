/** @file `lowrank databricks serving-endpoints list`. */

import { listCommand } from '../things.js'

export const command = listCommand({
  summary: 'list the serving endpoints of a workspace',
  examples: [{ text: 'See what is served', line: 'databricks serving-endpoints list' }],
  heads: ['NAME', 'READY', 'UPDATE', 'SERVES'],
  load: async () => (await import('../../../databricks/serving.js')).listEndpoints,
  row: ({ name, ready, configUpdate, entities }) => [name, ready, configUpdate, entities.join(', ')],
  none: 'No serving endpoints',
})
