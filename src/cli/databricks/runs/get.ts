/** @file `lowrank databricks runs get`. */

import { showCommand } from '../things.js'
import { RUN_ID, runFields } from './run.js'

export const command = showCommand({
  ...RUN_ID,
  name: 'databricks runs get',
  summary: 'show the state of a run and of its tasks',
  examples: [{ text: 'See how far it is', line: 'databricks runs get 1001' }],
  load: async () => (await import('../../../databricks/jobs.js')).getRun,
  fields: runFields,
})
