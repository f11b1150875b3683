/** @file `lowrank databricks serving-endpoints create`. */

import { serveCommand } from './endpoint.js'

export const command = serveCommand(
  'create',
  'serve a registered version by a new endpoint, and wait until it can be asked',
  'An adapter without its base cannot be served: register the merged model. It scales to zero, unless the file says ' +
    'otherwise. Ctrl-C ends the wait, and the endpoint goes on. lowrank clean deletes it.',
)
