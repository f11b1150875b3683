/** @file Checks the options of this package: a name that no option has is an error. */

import { InvalidArgumentError } from '@ai-sdk/provider'

/** @throws InvalidArgumentError for a name that is not among `known` */
export function expectKnown(where: string, given: object, known: readonly string[]): void {
  for (const name of Object.keys(given)) {
    if (!known.includes(name))
      throw new InvalidArgumentError({
        argument: name,
        message: `[${where}] unknown option ${JSON.stringify(name)}; valid options: ${known.join(', ')}`,
      })
  }
}
