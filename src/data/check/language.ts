/**
 * @file Which language a text is in, where that is clear: by the script of its letters, and for Latin letters by words
 * that are in every text of a language. Texts that are short, of code, or of two languages have none.
 */

/** Characters that are looked at. */
const SAMPLE = 4000
const LEAST_LETTERS = 20
const LEAST_WORDS = 8
/** The share of letters that are of one script. */
const ONE_SCRIPT = 0.8
/** The share of words that are of the list of a language, and how many times that of the next one. */
const LEAST_SHARE = 0.15
const CLEAR = 2
/** Different words of the list, of two letters or more: code has single letters. */
const LEAST_HITS = 2

const SCRIPTS: readonly (readonly [name: string, letters: RegExp])[] = [
  ['Latin', /\p{Script=Latin}/gu],
  ['Chinese', /\p{Script=Han}/gu],
  ['Japanese', /[\p{Script=Hiragana}\p{Script=Katakana}]/gu],
  ['Korean', /\p{Script=Hangul}/gu],
  ['a Cyrillic script', /\p{Script=Cyrillic}/gu],
  ['Arabic script', /\p{Script=Arabic}/gu],
  ['Hebrew', /\p{Script=Hebrew}/gu],
  ['Greek', /\p{Script=Greek}/gu],
  ['Devanagari', /\p{Script=Devanagari}/gu],
  ['Thai', /\p{Script=Thai}/gu],
]

const WORDS: Readonly<Record<string, string>> = {
  English:
    'the of and to in is that it was for with as on are this be by from or which have not at you they but his her ' +
    'their what there will would can if how when has been we an its your than then these should do does',
  German:
    'der die das und ist nicht ein eine mit zu auf für den dem von sich auch werden wird sind wie oder als bei nach aus ' +
    'wenn im zum zur kann einen einer einem des es ich sie wir dass durch über nur haben hat war noch',
  French:
    'le les des et est une dans que qui pour pas sur avec ce sont plus par au aux du ne se cette ou être il elle vous ' +
    'nous un de la en je son sa ses mais comme peut leur été fait à a si on',
  Spanish:
    'el los las que y en un una es por con para del se no lo como más su al pero esta este son de la ser está muy ' +
    'sus hay porque cuando sobre entre desde puede también a o ha si antes',
  Italian:
    'il che di è un una per non sono con del della le gli dei nel alla anche come più si questo la lo e ha da al ' +
    'delle nella questa essere può ma se i o in',
  Portuguese:
    'o os as que e do da em um uma para com não é por se mais dos das ao na no como seu sua são de foi ser está pelo ' +
    'pela também mas isso a ou no às nas nos',
  Dutch:
    'de het een en van is dat niet zijn op te met voor aan er die ook maar bij om in wordt worden deze als naar ' +
    'door over kan uit nog dan of hij ze je',
  Polish: 'i w na z do się nie jest to że o jak po dla od są oraz przez tym co ale za może być ma który tego z a ze u',
  Swedish: 'och att det som en på är av för med den till inte ett om har de från kan vid eller men så ska var jag',
  Danish: 'og i at det er en til på som med for den af ikke der et de kan har eller om fra ved jeg men så var skal',
  Czech:
    'a se na je v že s z do to pro o není jako nebo které který pokud být jsou by k ale ve od při může na i za nebo ze byl',
  Turkish: 've bir bu için ile olarak olan da de daha gibi çok en her değil ne kadar sonra ancak veya var göre',
  Indonesian: 'yang dan di untuk dengan ini itu dari pada adalah tidak dalam akan ke atau juga oleh dapat bisa saya',
}

/** What a word counts for each language that has it: a word of several says less. */
const LANGUAGES_OF = languagesOf()

function languagesOf(): ReadonlyMap<string, readonly string[]> {
  const languages = new Map<string, string[]>()
  for (const [language, words] of Object.entries(WORDS))
    for (const word of words.split(' ')) languages.set(word, [...(languages.get(word) ?? []), language])
  return languages
}

/** What is no text of people: blocks and pieces of code, tags, addresses. */
const NO_TEXT = /```[\s\S]*?(?:```|$)|`[^`\n]*`|<[^<>\n]*>|\bhttps?:\S+|\S*[\\/_@{}=]\S*/g

/** The name of the language; undefined where it is not clear. */
export function languageOf(text: string): string | undefined {
  const sample = text.slice(0, SAMPLE).replace(NO_TEXT, ' ')
  const counts = new Map(SCRIPTS.map(([name, letters]) => [name, sample.match(letters)?.length ?? 0]))
  // Japanese is written with Han characters between its own.
  const kana = counts.get('Japanese') ?? 0
  const han = counts.get('Chinese') ?? 0
  if (kana > 0.1 * (kana + han)) {
    counts.set('Japanese', kana + han)
    counts.set('Chinese', 0)
  }
  let letters = 0
  for (const count of counts.values()) letters += count
  const [script, most] = [...counts].reduce((best, next) => (next[1] > best[1] ? next : best))
  if (letters < LEAST_LETTERS || most < ONE_SCRIPT * letters) return undefined
  return script === 'Latin' ? latinLanguage(sample) : script
}

function latinLanguage(sample: string): string | undefined {
  const words = sample.toLowerCase().match(/[\p{L}\p{M}]+/gu) ?? []
  if (words.length < LEAST_WORDS) return undefined
  const scores = new Map<string, number>()
  const hits = new Map<string, Set<string>>()
  for (const word of words) {
    const languages = LANGUAGES_OF.get(word) ?? []
    for (const language of languages) {
      scores.set(language, (scores.get(language) ?? 0) + 1 / languages.length)
      if (word.length > 1) hits.set(language, (hits.get(language) ?? new Set()).add(word))
    }
  }
  const [first, second] = [...scores].sort(([, a], [, b]) => b - a)
  if (first === undefined || first[1] < LEAST_SHARE * words.length) return undefined
  const isClear = first[1] >= CLEAR * (second?.[1] ?? 0) && (hits.get(first[0])?.size ?? 0) >= LEAST_HITS
  return isClear ? first[0] : undefined
}
