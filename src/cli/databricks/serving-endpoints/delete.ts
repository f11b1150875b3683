/** @file `lowrank databricks serving-endpoints delete`. */

import { endCommand } from '../things.js'
import { ENDPOINT_NAME } from './endpoint.js'

export const command = endCommand({
  ...ENDPOINT_NAME,
  name: 'databricks serving-endpoints delete',
  summary: 'remove a serving endpoint',
  examples: [{ text: 'Stop paying for it', line: 'databricks serving-endpoints delete chat' }],
  load: async () => (await import('../../../databricks/serving.js')).deleteEndpoint,
  done: 'Deleted',
})
