/** @file Taking away the spaces that decoding puts before punctuation and contractions. */

type Replacement = readonly [from: string, to: string]

const BEFORE: readonly Replacement[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
]
const AFTER: readonly Replacement[] = [
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
]

const OF_TRANSFORMERS = [...BEFORE, ...AFTER]
// The decoders of the Rust library contract one phrase more, in this place.
const OF_DECODERS: readonly Replacement[] = [...BEFORE, [' do not', " don't"], ...AFTER]

function replaceEach(text: string, replacements: readonly Replacement[]): string {
  return replacements.reduce((clean, [from, to]) => clean.replaceAll(from, to), text)
}

/** `cleanup` of the decoders in tokenizer.json. */
export function cleanUp(text: string): string {
  return replaceEach(text, OF_DECODERS)
}

/** `clean_up_tokenization_spaces` of tokenizer_config.json. */
export function cleanUpSpaces(text: string): string {
  return replaceEach(text, OF_TRANSFORMERS)
}
