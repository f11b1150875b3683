/**
 * @file Ids that end an answer, of a vocabulary whose file does not name them all: converters often leave out the end
 * of a turn. They are found by their texts, which are those of llama.cpp.
 */

import type { GgufMetadata } from './metadata.js'

const KEYS = 'tokenizer.ggml.'

/** Always ends. */
const ENDING_TEXTS: readonly string[] = [
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<|return|>',
  '<|call|>',
  '<|flush|>',
  '<|calls|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '</s>',
  '<|eom_id|>',
  '<EOT>',
  '_<EOT>',
  '[EOT]',
  '[EOS]',
  '<|end_of_text|>',
  '<end_of_utterance>',
  '<eos>',
  '<turn|>',
  '<|tool_response>',
]

/** What ends by a key of the file, and by the first of these texts where the file has no such key. */
const NAMED_ENDS: Readonly<Record<string, readonly string[]>> = {
  eos: [],
  eot: ['<｜end▁of▁sentence｜>'],
  eom: [],
  fim_pad: ['<|fim_pad|>', '<fim-pad>', '<fim_pad>', '<PAD>', '[PAD]'],
  fim_rep: ['<|fim_repo|>', '<|repo_name|>', '<fim-repo>', '<REPO>', '<reponame>'],
  fim_sep: ['<|file_sep|>'],
}

/** `eos` of SentencePiece where the file names none. */
const SENTENCEPIECE_EOS = 2

/** The ids, ascending; those that the config names may be among them. Nothing where the file has no vocabulary. */
export function endingTokenIds(metadata: GgufMetadata): number[] {
  if (!metadata.has(`${KEYS}tokens`)) return []
  const idByText = new Map<string, number>()
  for (const [id, text] of metadata.texts(`${KEYS}tokens`).entries()) idByText.set(text, id)
  const has = (...texts: readonly string[]): boolean => texts.every((text) => idByText.has(text))
  const ids = new Set(ENDING_TEXTS.flatMap((text) => idByText.get(text) ?? []))
  const named = (name: string): number | undefined =>
    metadata.has(`${KEYS}${name}_token_id`) ? metadata.integer(`${KEYS}${name}_token_id`) : undefined
  for (const [name, texts] of Object.entries(NAMED_ENDS)) {
    const text = texts.find((candidate) => has(candidate))
    const id = named(name) ?? (text === undefined ? undefined : idByText.get(text))
    if (id !== undefined) ids.add(id)
  }
  if (named('eos') === undefined && metadata.get(`${KEYS}model`) === 'llama') ids.add(SENTENCEPIECE_EOS)
  const remove = (text: string): unknown => ids.delete(idByText.get(text) as number)
  // Formats in which this ends a message of several, and something else the answer.
  const endsByCall = has('<|return|>') && (has('<|call|>') || has('<|calls|>'))
  if (endsByCall || (has('<|flush|>') && (has('<|call|>') || has('<|calls|>')))) remove('<|end|>')
  if (has('<|tool_response>')) remove('</s>')
  return [...ids].sort((a, b) => a - b)
}
