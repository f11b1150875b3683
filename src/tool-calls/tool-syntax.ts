/** @file How models write calls of tools: which syntax a chat template means, and the markers that it has. */

import type { Tokenizer } from '../tokenizer/tokenizer.js'

/**
 * - `hermes`: `<tool_call>{"name": ..., "arguments": ...}</tool_call>`, as Hermes and Qwen write
 * - `llama`: `{"name": ..., "parameters": ...}` as the whole answer, maybe behind `<|python_tag|>`, as Llama 3.1 to 3.3
 * - `mistral`: `[TOOL_CALLS] [{"name": ..., "arguments": ...}]`, as Mistral up to 2024
 * - `mistral-args`: `[TOOL_CALLS]name[ARGS]{...}`, as Mistral since 2025
 */
export type ToolSyntaxName = 'hermes' | 'llama' | 'mistral' | 'mistral-args'

/** A syntax with its markers. */
export interface ToolSyntax {
  readonly name: ToolSyntaxName
  /** What stands before calls. */
  readonly begin: string
  /** What stands behind a call. */
  readonly end: string | undefined
  /** What the arguments are called. */
  readonly argumentsKey: 'arguments' | 'parameters'
  /** Markers that are special tokens in most vocabularies: text that is to be read must hold them. */
  readonly markers: readonly string[]
}

export const TOOL_SYNTAXES: Readonly<Record<ToolSyntaxName, ToolSyntax>> = {
  hermes: {
    name: 'hermes',
    begin: '<tool_call>',
    end: '</tool_call>',
    argumentsKey: 'arguments',
    markers: ['<tool_call>', '</tool_call>'],
  },
  llama: {
    name: 'llama',
    begin: '<|python_tag|>',
    end: undefined,
    argumentsKey: 'parameters',
    markers: ['<|python_tag|>'],
  },
  mistral: {
    name: 'mistral',
    begin: '[TOOL_CALLS]',
    end: undefined,
    argumentsKey: 'arguments',
    markers: ['[TOOL_CALLS]'],
  },
  'mistral-args': {
    name: 'mistral-args',
    begin: '[TOOL_CALLS]',
    end: undefined,
    argumentsKey: 'arguments',
    markers: ['[TOOL_CALLS]', '[ARGS]', '[CALL_ID]'],
  },
}

/**
 * The syntax that a tokenizer's chat template teaches; undefined where it has no template, none that takes tools, or
 * another syntax, as calls in XML.
 */
export function toolSyntaxOf(tokenizer: Pick<Tokenizer, 'chatTemplate'>): ToolSyntax | undefined {
  const { chatTemplate } = tokenizer
  const source = typeof chatTemplate === 'object' ? (chatTemplate.tool_use ?? chatTemplate.default) : chatTemplate
  if (source === undefined || !/\btools\b/.test(source)) return undefined
  // Qwen3-Coder writes parameters as XML between the same markers.
  if (source.includes('<function=')) return undefined
  if (source.includes('<tool_call>')) return TOOL_SYNTAXES.hermes
  if (source.includes('[TOOL_CALLS]')) return TOOL_SYNTAXES[source.includes('[ARGS]') ? 'mistral-args' : 'mistral']
  const isLlama = source.includes('<|python_tag|>') || (source.includes('ipython') && source.includes('"parameters"'))
  return isLlama ? TOOL_SYNTAXES.llama : undefined
}

/**
 * The tokenizer with decoded text that holds the markers of a syntax although they are special tokens, and no other
 * special token.
 */
export function keepingMarkers(tokenizer: Tokenizer, syntax: ToolSyntax): Tokenizer {
  const kept = new Set(syntax.markers.flatMap((marker) => tokenizer.specialTokens.get(marker) ?? []))
  if (kept.size === 0) return tokenizer
  const dropped = new Set([...tokenizer.specialTokens.values()].filter((id) => !kept.has(id)))
  return {
    ...tokenizer,
    decode: (ids, options) =>
      options?.skipSpecialTokens
        ? tokenizer.decode(Array.from(ids).filter((id) => !dropped.has(id)))
        : tokenizer.decode(ids, options),
  }
}
