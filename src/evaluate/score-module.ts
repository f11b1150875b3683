/** @file Functions of the user that score answers: given as they are, or by the path of a module that exports one. */

import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { OptionError } from '../lowrank-error.js'
import { toError } from '../values.js'
import type { ScoreAnswer } from './task-options.js'

/** @throws OptionError where the module cannot be loaded, or exports no such function */
export async function loadScoreAnswer(where: string, given: ScoreAnswer | string): Promise<ScoreAnswer> {
  if (typeof given === 'function') return given
  let module: { readonly default?: unknown; readonly scoreAnswer?: unknown }
  try {
    module = (await import(pathToFileURL(resolve(given)).href)) as typeof module
  } catch (error) {
    throw new OptionError(
      `[${where}] expected the path of a module for scoreAnswer, got ${given}, which cannot be loaded: ${toError(error).message}; write an .mjs file`,
      { cause: error },
    )
  }
  const found = module.scoreAnswer ?? module.default
  if (typeof found === 'function') return found as ScoreAnswer
  throw new OptionError(
    `[${where}] expected ${given} to export a function (row, answer) => scores as scoreAnswer or as its default, got exports ` +
      `${Object.keys(module).join(', ') || 'none'}; export one`,
  )
}
