/** @file `lowrank databricks warehouses list`. */

import { listCommand } from '../things.js'

export const command = listCommand({
  summary: 'list the SQL warehouses of a workspace',
  examples: [{ text: 'Find the id of a warehouse', line: 'databricks warehouses list' }],
  heads: ['ID', 'NAME', 'STATE'],
  load: async () => (await import('../../../databricks/warehouses.js')).listWarehouses,
  row: ({ id, name, state }) => [id, name, state],
  none: 'No SQL warehouses',
})
