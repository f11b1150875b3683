/** @file `lowrank databricks runs cancel`. */

import { endCommand } from '../things.js'
import { RUN_ID } from './run.js'

export const command = endCommand({
  ...RUN_ID,
  name: 'databricks runs cancel',
  summary: 'cancel a run',
  details: 'One that has ended, or is gone, is left so.',
  examples: [{ text: 'End it', line: 'databricks runs cancel 1001' }],
  load: async () => (await import('../../../databricks/jobs.js')).cancelRun,
  done: 'Cancelled',
})
