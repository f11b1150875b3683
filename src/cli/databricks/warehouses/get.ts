/** @file `lowrank databricks warehouses get`. */

import { showCommand } from '../things.js'

export const command = showCommand({
  name: 'databricks warehouses get',
  argument: 'warehouse-id',
  help: 'id of the SQL warehouse',
  summary: 'show the state of a SQL warehouse',
  examples: [{ text: 'See whether it runs', line: 'databricks warehouses get 0123456789abcdef' }],
  load: async () => (await import('../../../databricks/warehouses.js')).getWarehouse,
  fields: ({ id, name, state }) => ({ id, name, state }),
})
