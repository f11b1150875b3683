/** @file `lowrank databricks warehouses stop`. */

import { endCommand } from '../things.js'

export const command = endCommand({
  name: 'databricks warehouses stop',
  argument: 'warehouse-id',
  help: 'id of the SQL warehouse',
  summary: 'stop a SQL warehouse',
  details: 'Statements that it runs are cancelled. One that is stopped, or gone, is left so.',
  examples: [{ text: 'Stop paying for it', line: 'databricks warehouses stop 0123456789abcdef' }],
  load: async () => (await import('../../../databricks/warehouses.js')).stopWarehouse,
  done: 'Stopping',
})
