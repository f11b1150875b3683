/**
 * @file What files of a model or an adapter say that does nothing, or that others contradict, told on stderr, where
 * answers are not.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { paintFor } from '../progress/terminal.js'
import { harmless } from '../progress/text-width.js'

/** Warnings of a model that is to generate: what its generation_config.json asks for in vain is one of them. */
export function showModelWarnings({ warnings, generationDefaults, nameOrPath }: CausalLM): void {
  const ignored = generationDefaults?.ignored ?? []
  const more =
    ignored.length > 0
      ? [
          `generation_config.json of ${nameOrPath} asks for ${ignored.join(', ')}, which is not done here; answers may differ from those of transformers`,
        ]
      : []
  showWarnings({ warnings: [...warnings, ...more] })
}

/** A line for each warning. */
export function showWarnings({ warnings }: { readonly warnings: readonly string[] }): void {
  const paint = paintFor(process.stderr)
  for (const warning of warnings) process.stderr.write(`${paint('yellow', 'warning')}: ${harmless(warning)}\n`)
}
