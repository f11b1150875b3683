/**
 * @file How byte-level tokenizers in GGUF files cut text before they merge: `tokenizer.ggml.pre` is a name, and these
 * are the expressions that llama.cpp has for it (llama-vocab.cpp), applied one after the other to what the one before
 * left.
 */

/** What a name stands for. */
export interface Splits {
  readonly expressions: readonly string[]
  /** A piece that is a token as a whole is not merged. */
  readonly ignoreMerges?: boolean
  /** Where the file does not say; default false. */
  readonly addBos?: boolean
}

const GPT2 = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
const CONTRACTIONS = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
const UPPER = String.raw`[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`
const LOWER = String.raw`[\p{Ll}\p{Lm}\p{Lo}\p{M}]`

/** GPT-4's, with so many digits in a piece. */
const gpt4 = (digits: string): string =>
  String.raw`(?:${CONTRACTIONS})|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

/** Those that also cut where capitals begin. */
const byCase = (digits: string, end: string): string =>
  String.raw`[^\r\n\p{L}\p{N}]?${UPPER}*${LOWER}+${end}|[^\r\n\p{L}\p{N}]?${UPPER}+${LOWER}*${end}|${digits}` +
  String.raw`| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`

const LLAMA3: Splits = { expressions: [gpt4(String.raw`\p{N}{1,3}`)], ignoreMerges: true, addBos: true }
const LLAMA3_MERGED: Splits = { expressions: LLAMA3.expressions }
const QWEN2: Splits = { expressions: [gpt4(String.raw`\p{N}`)] }
const PLAIN: Splits = { expressions: [GPT2] }
const DIGITS_APART: Splits = { expressions: [String.raw`\p{N}`, GPT2] }
const GPT4O: Splits = { expressions: [byCase(String.raw`\p{N}{1,3}`, `(?:${CONTRACTIONS})?`)] }

/** By name. */
export const SPLITS: Readonly<Record<string, Splits>> = {
  default: { expressions: [String.raw`[\p{P}\$\+<=>\^~\|]+`, GPT2, String.raw`\p{N}+`, '[0-9][0-9][0-9]'] },
  falcon: { expressions: ['[\\p{P}\\$\\+<=>\\^~\\|`]+', GPT2, '[0-9][0-9][0-9]'] },
  'gpt-2': PLAIN,
  'phi-2': PLAIN,
  mpt: PLAIN,
  olmo: PLAIN,
  exaone4: PLAIN,
  smollm: DIGITS_APART,
  starcoder: DIGITS_APART,
  refact: DIGITS_APART,
  'command-r': DIGITS_APART,
  codeshell: DIGITS_APART,
  exaone: DIGITS_APART,
  'minerva-7b': DIGITS_APART,
  'llama-bpe': LLAMA3,
  llama3: LLAMA3,
  'llama-v3': LLAMA3,
  falcon3: LLAMA3,
  pixtral: LLAMA3,
  'midm-2.0': LLAMA3,
  lfm2: LLAMA3,
  dbrx: LLAMA3_MERGED,
  'smaug-bpe': LLAMA3_MERGED,
  glm4: LLAMA3_MERGED,
  'chatglm-bpe': LLAMA3_MERGED,
  qwen2: QWEN2,
  'deepseek-r1-qwen': QWEN2,
  stablelm2: QWEN2,
  megrez: QWEN2,
  hunyuan: QWEN2,
  tekken: { expressions: [byCase(String.raw`\p{N}`, '')], ignoreMerges: true, addBos: true },
  'gpt-4o': GPT4O,
  llama4: GPT4O,
}
