/** @file Ollama's Modelfile: where model and adapter are, the template in Go's language, and what ends answers. */

import { listNames } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { findFamily, goTemplate, TURN_FAMILIES } from './turn-families.js'

/** What a Modelfile names. */
interface ModelfileParts {
  /** File of the model, beside the Modelfile. */
  readonly from: string
  /** File of the adapter; undefined: none. */
  readonly adapter: string | undefined
  /** Undefined where there is no tokenizer: the model completes text then. */
  readonly tokenizer: Tokenizer | undefined
}

/** @throws where the chat template is of no known family, naming those that are */
export function modelfileText({ from, adapter, tokenizer }: ModelfileParts): string {
  const lines = [`FROM ./${from}`, ...(adapter === undefined ? [] : [`ADAPTER ./${adapter}`])]
  if (tokenizer?.chatTemplate === undefined) return `${[...lines, 'TEMPLATE """{{ .Prompt }}"""'].join('\n')}\n`
  const found = findFamily(tokenizer)
  if (!found)
    throw new ModelError(
      `[export] expected a chat template of a known family for Ollama, whose templates are in Go's language, got another one; known are ` +
        `${listNames(
          TURN_FAMILIES.map(({ name }) => name),
          TURN_FAMILIES.length,
        )}; export format 'gguf', and write the Modelfile's TEMPLATE by hand`,
    )
  const { family, defaultSystem } = found
  const eos = tokenizer.templateVariables.eos_token
  const stops = new Set([family.stop, ...(typeof eos === 'string' && eos !== '' ? [eos] : [])])
  return `${[
    ...lines,
    `TEMPLATE ${quoted(goTemplate(family))}`,
    ...(defaultSystem === undefined ? [] : [`SYSTEM ${quoted(defaultSystem)}`]),
    ...[...stops].map((stop) => `PARAMETER stop ${JSON.stringify(stop)}`),
  ].join('\n')}\n`
}

/** Text in three quotes, within which everything stands for itself but three quotes. */
function quoted(text: string): string {
  if (text.includes('"""') || text.endsWith('"'))
    throw new ModelError(`[export] expected text without three quotes for a Modelfile, got ${JSON.stringify(text)}`)
  return `"""${text}"""`
}
