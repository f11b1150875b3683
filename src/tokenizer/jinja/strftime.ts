/** @file Python's `strftime` in the C locale: a template's text must not depend on the locale of the machine. */

import { unsupported } from './errors.js'

const MONTHS = 'January February March April May June July August September October November December'.split(' ')
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')

/** Directives that are numbers, padded with zeros; of those in `BLANK` with blanks. */
const NUMBERS = 'CdegGHIjklMmSUuVWwYy'
const BLANK = 'ekl'
/** Python gives an empty text where the C library's own grows too long. */
const MAX_WIDTH = 100

/** `date.strftime(format)` of a local time without a zone. */
export function strftime(date: Date, format: string): string {
  return format.replace(
    /%([-_0^#]*)([0-9]*)([EO]?)(.?)/gsu,
    (all, flags: string, width: string, _: string, letter: string) => {
      // Python itself writes the microseconds, where nothing stands between the sign and the letter.
      const text = letter === 'f' && flags + width !== '' ? undefined : field(date, letter)
      if (text === undefined && width === '' && !/[\^#]/.test(flags)) return all
      // The C library pads and changes the directive itself.
      if (text === undefined || Number(width) > MAX_WIDTH) return unsupported(`the date format ${all}`)
      return padded(cased(text, flags, letter), flags, letter, Number(width))
    },
  )
}

function cased(text: string, flags: string, letter: string): string {
  if (flags.includes('#')) return 'pZ'.includes(letter) ? text.toLowerCase() : text.toUpperCase()
  return flags.includes('^') ? text.toUpperCase() : text
}

function padded(text: string, flags: string, letter: string, width: number): string {
  const flag = [...flags].findLast((sign) => '-_0'.includes(sign))
  if (!NUMBERS.includes(letter)) return text.padStart(width, flag === '0' ? '0' : ' ')
  if (flag === undefined) return text.padStart(width, BLANK.includes(letter) ? ' ' : '0')
  const digits = text.replace(/^[ 0]+(?=.)/, '')
  if (flag === '-') return digits.padStart(width, ' ')
  return digits.padStart(Math.max(width, text.length), flag === '_' ? ' ' : '0')
}

function field(date: Date, letter: string): string | undefined {
  const two = (value: number): string => String(value).padStart(2, '0')
  const blank = (value: number): string => String(value).padStart(2, ' ')
  const month = MONTHS[date.getMonth()] ?? ''
  const day = DAYS[date.getDay()] ?? ''
  const [year, hours, weekday] = [date.getFullYear(), date.getHours(), date.getDay()]
  const hours12 = hours % 12 === 0 ? 12 : hours % 12
  const yearDay = dayOfYear(date)
  const week = isoWeek(date)
  const text = (format: string): string => strftime(date, format)
  switch (letter) {
    case 'A':
      return day
    case 'a':
      return day.slice(0, 3)
    case 'B':
      return month
    case 'b':
    case 'h':
      return month.slice(0, 3)
    case 'C':
      return two(Math.floor(year / 100))
    case 'c':
      return text('%a %b %e %H:%M:%S %Y')
    case 'D':
    case 'x':
      return text('%m/%d/%y')
    case 'd':
      return two(date.getDate())
    case 'e':
      return blank(date.getDate())
    case 'F':
      return text('%Y-%m-%d')
    case 'f':
      return String(date.getMilliseconds() * 1000).padStart(6, '0')
    case 'G':
      return String(week.year)
    case 'g':
      return two(week.year % 100)
    case 'H':
      return two(hours)
    case 'I':
      return two(hours12)
    case 'j':
      return String(yearDay).padStart(3, '0')
    case 'k':
      return blank(hours)
    case 'l':
      return blank(hours12)
    case 'M':
      return two(date.getMinutes())
    case 'm':
      return two(date.getMonth() + 1)
    case 'n':
      return '\n'
    case 'P':
      return hours < 12 ? 'am' : 'pm'
    case 'p':
      return hours < 12 ? 'AM' : 'PM'
    case 'R':
      return text('%H:%M')
    case 'r':
      return text('%I:%M:%S %p')
    case 'S':
      return two(date.getSeconds())
    case 's':
      return String(Math.floor(date.getTime() / 1000))
    case 'T':
    case 'X':
      return text('%H:%M:%S')
    case 't':
      return '\t'
    case 'U':
      return two(Math.floor((yearDay + 6 - weekday) / 7))
    case 'u':
      return String(weekday === 0 ? 7 : weekday)
    case 'V':
      return two(week.number)
    case 'W':
      return two(Math.floor((yearDay + 6 - ((weekday + 6) % 7)) / 7))
    case 'w':
      return String(weekday)
    case 'Y':
      return String(year)
    case 'y':
      return two(year % 100)
    case 'Z':
    case 'z':
      return ''
    case '%':
      return '%'
  }
  return undefined
}

const DAY_MS = 86_400_000

function dayOfYear(date: Date): number {
  const year = date.getFullYear()
  return (Date.UTC(year, date.getMonth(), date.getDate()) - Date.UTC(year, 0, 1)) / DAY_MS + 1
}

/** Week of ISO 8601: the one that holds the year's first Thursday is the first. */
function isoWeek(date: Date): { year: number; number: number } {
  const weekday = (date.getDay() + 6) % 7
  const thursday = new Date(Date.UTC(date.getFullYear(), date.getMonth(), date.getDate() - weekday + 3))
  const year = thursday.getUTCFullYear()
  return { year, number: Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / DAY_MS / 7) + 1 }
}
