/** @file `lowrank databricks serving-endpoints get`. */

import { showCommand } from '../things.js'
import { ENDPOINT_NAME, endpointFields } from './endpoint.js'

export const command = showCommand({
  ...ENDPOINT_NAME,
  name: 'databricks serving-endpoints get',
  summary: 'show the state of a serving endpoint',
  examples: [{ text: 'See whether it is ready', line: 'databricks serving-endpoints get chat' }],
  load: async () => (await import('../../../databricks/serving.js')).getEndpoint,
  fields: endpointFields,
})
