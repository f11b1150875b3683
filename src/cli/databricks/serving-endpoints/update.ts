/** @file `lowrank databricks serving-endpoints update`. */

import { serveCommand } from './endpoint.js'

export const command = serveCommand(
  'update',
  'serve another version by an endpoint, and wait until it does',
  'The version before answers until then. Ctrl-C ends the wait, and the update goes on.',
)
