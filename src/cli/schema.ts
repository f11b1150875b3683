/** @file `lowrank schema`: JSON Schema of the files of `lowrank train` and `lowrank eval`, for editors. */

import { nearestName } from '../errors.js'
import { TRAIN_OPTIONS } from '../integrations/options.js'
import type { JsonSchema } from '../options/rules.js'
import { configSchema } from '../train/config-schema.js'
import type { Command, NoFlags } from './command.js'
import { UsageError } from './usage-error.js'

const SCHEMAS: Readonly<Record<string, () => Promise<JsonSchema>>> = {
  train: async () => configSchema(TRAIN_OPTIONS),
  eval: async () => (await import('../evaluate/task-schema.js')).evaluationSchema(),
}

export const command: Command<NoFlags, { readonly of: string }> = {
  summary: 'print the JSON Schema of configuration files, for editors',
  arguments: [
    { name: 'command', help: 'the command whose files it is of', default: 'train', choices: Object.keys(SCHEMAS) },
  ],
  flags: {},
  examples: [
    { text: 'Keep the schema beside the files that it checks', line: 'schema > train.schema.json' },
    { text: 'The same for files of tasks', line: 'schema eval > tasks.schema.json' },
  ],
  check({ words: [of = 'train'] }) {
    if (Object.hasOwn(SCHEMAS, of)) return { of }
    const nearest = nearestName(of, Object.keys(SCHEMAS))
    throw new UsageError(
      `[schema] expected ${Object.keys(SCHEMAS).join(' or ')}, got ${JSON.stringify(of)}${nearest ? `; did you mean ${nearest}?` : ''}`,
    )
  },
  async run({ of }) {
    process.stdout.write(`${JSON.stringify(await SCHEMAS[of]?.(), null, 2)}\n`)
  },
}
