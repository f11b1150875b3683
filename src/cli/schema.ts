/** @file `lowrank schema`: JSON Schema of the configuration files of `lowrank train`, for editors. */

import { TRAIN_OPTIONS } from '../integrations/options.js'
import { configSchema } from '../train/config-schema.js'
import type { Command, NoFlags } from './command.js'

export const command: Command<NoFlags> = {
  summary: 'print the JSON Schema of configuration files, for editors',
  flags: {},
  examples: [{ text: 'Keep the schema beside the files that it checks', line: 'schema > train.schema.json' }],
  check: () => ({}),
  run() {
    process.stdout.write(`${JSON.stringify(configSchema(TRAIN_OPTIONS), null, 2)}\n`)
  },
}
