/** @file What is probably wrong with a text that is not quite JSON. */

/** What is probably wrong with a text that is not JSON, by the error and the characters there. */
const SLIPS: readonly (readonly [error: RegExp, text: RegExp | undefined, hint: string])[] = [
  [/\\u0000/, undefined, 'the file has null bytes, as after a full disk or a copy that was cut; get it anew'],
  [/got "(?:<{7}|>{7}|={7})/, undefined, 'these are the marks of a merge in Git; settle the conflict in the file'],
  [/nothing after the value, got ","/, undefined, 'remove the comma behind the row'],
  [
    /nothing after the value, got "[{[]/,
    /\r(?!$)/,
    'its lines end with a carriage return alone; convert them (tr "\\r" "\\n")',
  ],
  [/nothing after the value, got "[{[]/, undefined, 'put each row on a line of its own'],
  [
    /JSON value, got "-?(?:NaN|Infinity|nan|inf)/,
    undefined,
    'JSON has no NaN or Infinity; write null or leave the key out',
  ],
  [
    /got "(?:None|True|False|')/,
    undefined,
    "this is Python's notation, not JSON; write rows with json.dumps, not with str or repr",
  ],
  [/got "[“”‘’„«]/, undefined, 'these are typographic quotes; JSON has " alone'],
  [/got "(?:\/\/|\/\*|#)/, undefined, 'JSON has no comments; remove them'],
  [/a key in quotes, got "[}\]]/, undefined, 'remove the comma before it'],
  [/JSON value, got "[}\]]/, undefined, 'remove the comma before it'],
  [/a key in quotes, got "[\w$]/, undefined, 'this is JSON5 or JavaScript; JSON has keys in double quotes'],
  [/got the end of the text/, /^\s*[[{]\s*$/, 'one row is one line, unless the file is a single JSON array'],
  [
    /got the end of the text/,
    undefined,
    'a row is one line without line breaks; where it is the last one, the file was cut',
  ],
  [/valid escapes/, undefined, 'write \\\\ for a backslash'],
  [/no control character/, undefined, 'write \\n for a line break and \\t for a tab'],
]

/** `; what to do` for an error of the JSON reader, or nothing. */
export function slipHint(message: string, text: string): string {
  const slip = SLIPS.find(([error, within]) => error.test(message) && (within === undefined || within.test(text)))
  return slip === undefined ? '' : `; ${slip[2]}`
}
