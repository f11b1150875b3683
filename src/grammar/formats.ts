/**
 * @file Formats of strings as patterns. A text that a pattern takes has the format; some that have it are left out, as
 * leap seconds.
 */

const DAY_OF_MONTH =
  '(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))'
const LEAP_YEAR = '(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)'
const DATE = `(?:[0-9]{4}-${DAY_OF_MONTH}|${LEAP_YEAR}-02-29)`
const HOURS = '(?:[01][0-9]|2[0-3])'
const TIME = `${HOURS}:[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?(?:Z|[+-]${HOURS}:[0-5][0-9])`
const BYTE = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'

/** Whole texts by format: RFC 3339, RFC 9562, and addresses with four numbers. */
export const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE}T${TIME}`,
  uuid: '[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}',
  ipv4: `${BYTE}(?:\\.${BYTE}){3}`,
}
