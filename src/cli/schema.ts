/** @file `lowrank schema`: JSON Schema of the configuration files of `lowrank train`, for editors. */

import { configSchema } from '../train/config-schema.js'

export function schema(): void {
  process.stdout.write(`${JSON.stringify(configSchema(), null, 2)}\n`)
}
