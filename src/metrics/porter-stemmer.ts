/**
 * @file The Porter stemmer, which cuts English words down to what their forms share: M. F. Porter, "An algorithm for
 * suffix stripping", Program 14(3), 1980, https://tartarus.org/martin/PorterStemmer. It has the changes that NLTK makes
 * by default, which rouge_score uses, and takes words in lower case.
 */

/** Words that no rule fits, with their stems. */
const IRREGULAR: ReadonlyMap<string, string> = new Map([
  ['sky', 'sky'],
  ['skies', 'sky'],
  ['dying', 'die'],
  ['lying', 'lie'],
  ['tying', 'tie'],
  ['news', 'news'],
  ['innings', 'inning'],
  ['inning', 'inning'],
  ['outings', 'outing'],
  ['outing', 'outing'],
  ['cannings', 'canning'],
  ['canning', 'canning'],
  ['howe', 'howe'],
  ['proceed', 'proceed'],
  ['exceed', 'exceed'],
  ['succeed', 'succeed'],
])

/** An ending, what stands in its place, and whether that is done after a given stem. */
type Rule = readonly [ending: string, replacement: string, applies: (stem: string) => boolean]

const always = () => true
const hasMeasure = (stem: string) => measure(stem) > 0
const hasLongMeasure = (stem: string) => measure(stem) > 1

const PLURALS: readonly Rule[] = [
  ['sses', 'ss', always],
  ['ies', 'i', always],
  ['ss', 'ss', always],
  ['s', '', always],
]

const DOUBLE_SUFFIXES: readonly Rule[] = [
  ['ational', 'ate', hasMeasure],
  ['tional', 'tion', hasMeasure],
  ['enci', 'ence', hasMeasure],
  ['anci', 'ance', hasMeasure],
  ['izer', 'ize', hasMeasure],
  ['bli', 'ble', hasMeasure],
  ['alli', 'al', hasMeasure],
  ['entli', 'ent', hasMeasure],
  ['eli', 'e', hasMeasure],
  ['ousli', 'ous', hasMeasure],
  ['ization', 'ize', hasMeasure],
  ['ation', 'ate', hasMeasure],
  ['ator', 'ate', hasMeasure],
  ['alism', 'al', hasMeasure],
  ['iveness', 'ive', hasMeasure],
  ['fulness', 'ful', hasMeasure],
  ['ousness', 'ous', hasMeasure],
  ['aliti', 'al', hasMeasure],
  ['iviti', 'ive', hasMeasure],
  ['biliti', 'ble', hasMeasure],
  ['fulli', 'ful', hasMeasure],
  // The l counts as part of the stem, so that 'geologi' loses its ending as 'archaeologi' does.
  ['logi', 'log', (stem) => hasMeasure(`${stem}l`)],
]

const ADJECTIVES: readonly Rule[] = [
  ['icate', 'ic', hasMeasure],
  ['ative', '', hasMeasure],
  ['alize', 'al', hasMeasure],
  ['iciti', 'ic', hasMeasure],
  ['ical', 'ic', hasMeasure],
  ['ful', '', hasMeasure],
  ['ness', '', hasMeasure],
]

const LAST_SUFFIXES: readonly Rule[] = [
  ['al', '', hasLongMeasure],
  ['ance', '', hasLongMeasure],
  ['ence', '', hasLongMeasure],
  ['er', '', hasLongMeasure],
  ['ic', '', hasLongMeasure],
  ['able', '', hasLongMeasure],
  ['ible', '', hasLongMeasure],
  ['ant', '', hasLongMeasure],
  ['ement', '', hasLongMeasure],
  ['ment', '', hasLongMeasure],
  ['ent', '', hasLongMeasure],
  ['ion', '', (stem) => hasLongMeasure(stem) && /[st]$/.test(stem)],
  ['ou', '', hasLongMeasure],
  ['ism', '', hasLongMeasure],
  ['ate', '', hasLongMeasure],
  ['iti', '', hasLongMeasure],
  ['ous', '', hasLongMeasure],
  ['ive', '', hasLongMeasure],
  ['ize', '', hasLongMeasure],
]

/** The stem of a word in lower case. */
export function stem(word: string): string {
  const irregular = IRREGULAR.get(word)
  if (irregular !== undefined) return irregular
  if (word.length <= 2) return word
  const singular = word.length === 4 && word.endsWith('ies') ? word.slice(0, -1) : applyFirst(PLURALS, word)
  const present = withoutPastAndGerund(singular)
  const simple = applyFirst(ADJECTIVES, withoutDoubleSuffix(withoutFinalY(present)))
  return withoutFinalL(withoutFinalE(applyFirst(LAST_SUFFIXES, simple)))
}

/** What the first rule whose ending a word has makes of it; no other rule is tried. */
function applyFirst(rules: readonly Rule[], word: string): string {
  const rule = rules.find(([ending]) => word.endsWith(ending))
  if (rule === undefined) return word
  const [ending, replacement, applies] = rule
  const rest = word.slice(0, word.length - ending.length)
  return applies(rest) ? rest + replacement : word
}

function withoutPastAndGerund(word: string): string {
  if (word.endsWith('ied')) return word.length === 4 ? word.slice(0, -1) : word.slice(0, -2)
  if (word.endsWith('eed')) return hasMeasure(word.slice(0, -3)) ? word.slice(0, -1) : word
  const ending = ['ed', 'ing'].find((ending) => word.endsWith(ending))
  if (ending === undefined) return word
  const rest = word.slice(0, word.length - ending.length)
  if (!hasVowel(rest)) return word
  if (/(?:at|bl|iz)$/.test(rest)) return `${rest}e`
  if (endsInDoubleConsonant(rest)) return /[lsz]$/.test(rest) ? rest : rest.slice(0, -1)
  return measure(rest) === 1 && endsInShortSyllable(rest) ? `${rest}e` : rest
}

function withoutFinalY(word: string): string {
  const rest = word.slice(0, -1)
  return word.endsWith('y') && rest.length > 1 && consonantsOf(rest).at(-1) === true ? `${rest}i` : word
}

function withoutDoubleSuffix(word: string): string {
  // What 'alli' leaves behind may be the end of another suffix.
  if (word.endsWith('alli') && hasMeasure(word.slice(0, -4))) return withoutDoubleSuffix(word.slice(0, -2))
  return applyFirst(DOUBLE_SUFFIXES, word)
}

function withoutFinalE(word: string): string {
  if (!word.endsWith('e')) return word
  const rest = word.slice(0, -1)
  const length = measure(rest)
  return length > 1 || (length === 1 && !endsInShortSyllable(rest)) ? rest : word
}

function withoutFinalL(word: string): string {
  return word.endsWith('ll') && hasLongMeasure(word.slice(0, -1)) ? word.slice(0, -1) : word
}

/** For each letter whether it is a consonant. A y is one at the beginning and behind a vowel. */
function consonantsOf(word: string): boolean[] {
  const consonants: boolean[] = []
  for (const letter of word) {
    const isConsonant = letter === 'y' ? consonants.at(-1) !== true : !'aeiou'.includes(letter)
    consonants.push(isConsonant)
  }
  return consonants
}

/** How often a consonant follows a vowel: Porter's m. */
function measure(word: string): number {
  const consonants = consonantsOf(word)
  return consonants.filter((isConsonant, index) => isConsonant && consonants[index - 1] === false).length
}

function hasVowel(word: string): boolean {
  return consonantsOf(word).includes(false)
}

function endsInDoubleConsonant(word: string): boolean {
  return word.length >= 2 && word.at(-1) === word.at(-2) && consonantsOf(word).at(-1) === true
}

/** Whether a word ends in consonant, vowel and consonant, as 'hop' does, or is a vowel and a consonant. */
function endsInShortSyllable(word: string): boolean {
  const consonants = consonantsOf(word)
  const isVowelAndConsonant = consonants.at(-2) === false && consonants.at(-1) === true
  if (word.length === 2) return isVowelAndConsonant
  return consonants.at(-3) === true && isVowelAndConsonant && !/[wxy]$/.test(word)
}
