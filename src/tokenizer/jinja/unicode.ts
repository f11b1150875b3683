/**
 * @file Facts about characters that JavaScript's regular expressions do not know: title case, and what Python calls a
 * digit.
 */

const TITLES =
  '\u00dfSs \u01c4\u01c5 \u01c5\u01c5 \u01c6\u01c5 \u01c7\u01c8 \u01c8\u01c8 \u01c9\u01c8 \u01ca\u01cb ' +
  '\u01cb\u01cb \u01cc\u01cb \u01f1\u01f2 \u01f2\u01f2 \u01f3\u01f2 \u0587\u0535\u0582 \u1fb2\u1fba\u0345 ' +
  '\u1fb3\u1fbc \u1fb4\u0386\u0345 \u1fb7\u0391\u0342\u0345 \u1fbc\u1fbc \u1fc2\u1fca\u0345 \u1fc3\u1fcc ' +
  '\u1fc4\u0389\u0345 \u1fc7\u0397\u0342\u0345 \u1fcc\u1fcc \u1ff2\u1ffa\u0345 \u1ff3\u1ffc \u1ff4\u038f' +
  '\u0345 \u1ff7\u03a9\u0342\u0345 \u1ffc\u1ffc \ufb00Ff \ufb01Fi \ufb02Fl \ufb03Ffi \ufb04Ffl \ufb05St ' +
  '\ufb06St \ufb13\u0544\u0576 \ufb14\u0544\u0565 \ufb15\u0544\u056b \ufb16\u054e\u0576 \ufb17\u0544\u056d'
// Parts of character classes, beyond the categories that the classes name.
const DIGIT =
  '\\u00b2\\u00b3\\u00b9\\u1369-\\u1371\\u19da\\u2070\\u2074-\\u2079\\u2080-\\u2089\\u2460-\\u2468\\u2474-' +
  '\\u247c\\u2488-\\u2490\\u24ea\\u24f5-\\u24fd\\u24ff\\u2776-\\u277e\\u2780-\\u2788\\u278a-\\u2792' +
  '\\u{10a40}-\\u{10a43}\\u{10e60}-\\u{10e68}\\u{11052}-\\u{1105a}\\u{1f100}-\\u{1f10a}'
const NUMERIC =
  '\\u3405\\u3483\\u382a\\u3b4d\\u4e00\\u4e03\\u4e07\\u4e09\\u4e5d\\u4e8c\\u4e94\\u4e96\\u4ebf\\u4ec0' +
  '\\u4edf\\u4ee8\\u4f0d\\u4f70\\u5104\\u5146\\u5169\\u516b\\u516d\\u5341\\u5343-\\u5345\\u534c\\u53c1-' +
  '\\u53c4\\u56db\\u58f1\\u58f9\\u5e7a\\u5efe\\u5eff\\u5f0c-\\u5f0e\\u5f10\\u62fe\\u634c\\u67d2\\u6f06' +
  '\\u7396\\u767e\\u8086\\u842c\\u8cae\\u8cb3\\u8d30\\u9621\\u9646\\u964c\\u9678\\u96f6\\uf96b\\uf973' +
  '\\uf978\\uf9b2\\uf9d1\\uf9d3\\uf9fd\\u{20001}\\u{20064}\\u{200e2}\\u{20121}\\u{2092a}\\u{20983}' +
  '\\u{2098c}\\u{2099c}\\u{20aea}\\u{20afd}\\u{20b19}\\u{22390}\\u{22998}\\u{23b1b}\\u{2626d}\\u{2f890}'
const LOWER =
  '\\u00aa\\u00ba\\u02b0-\\u02b8\\u02c0\\u02c1\\u02e0-\\u02e4\\u0345\\u037a\\u1d2c-\\u1d6a\\u1d78\\u1d9b-' +
  '\\u1dbf\\u2071\\u207f\\u2090-\\u209c\\u2170-\\u217f\\u24d0-\\u24e9\\u2c7c\\u2c7d\\ua69c\\ua69d\\ua770' +
  '\\ua7f8\\ua7f9\\uab5c-\\uab5f\\u{10780}\\u{10783}-\\u{10785}\\u{10787}-\\u{107b0}\\u{107b2}-\\u{107ba}'
const UPPER = '\\u2160-\\u216f\\u24b6-\\u24cf\\u{1f130}-\\u{1f149}\\u{1f150}-\\u{1f169}\\u{1f170}-\\u{1f189}'

const titles = new Map(
  TITLES.split(' ').map((pair) => {
    const [character = '', ...title] = pair
    return [character, title.join('')]
  }),
)

/** Title case of one character: `ǅ` rather than `Ǆ`, `Ss` rather than `SS`. */
export function titleCase(character: string): string {
  const known = titles.get(character)
  if (known !== undefined) return known
  const code = character.codePointAt(0) as number
  // Georgian has no title case; Greek with an iota below keeps the iota below.
  if (code >= 0x10d0 && code <= 0x10ff) return character
  if (code >= 0x1f80 && code <= 0x1faf) return String.fromCharCode(code | 8)
  return character.toUpperCase()
}

const CASES = {
  lower: new RegExp(`^[\\p{Ll}${LOWER}]$`, 'u'),
  upper: new RegExp(`^[\\p{Lu}${UPPER}]$`, 'u'),
  title: /^\p{Lt}$/u,
} as const

export function isLower(character: string): boolean {
  return CASES.lower.test(character)
}

export function isUpper(character: string): boolean {
  return CASES.upper.test(character)
}

export function isTitle(character: string): boolean {
  return CASES.title.test(character)
}

/** Python's character classes: each holds for a text whose characters all are of it. */
export const CLASSES: Readonly<Record<string, RegExp>> = {
  isalpha: /^\p{L}+$/u,
  isdecimal: /^\p{Nd}+$/u,
  isdigit: new RegExp(`^[\\p{Nd}${DIGIT}]+$`, 'u'),
  isnumeric: new RegExp(`^[\\p{N}${NUMERIC}]+$`, 'u'),
  isalnum: new RegExp(`^[\\p{L}\\p{N}${NUMERIC}]+$`, 'u'),
}
