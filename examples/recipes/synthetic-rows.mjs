/**
 * @file Writes synthetic-loans.jsonl and synthetic-payments.jsonl: rows that were drawn, in the schemas of the Lending
 * Club and the IEEE-CIS fraud data sets. No row is of a person, and no figure says anything of those data sets.
 * The same seed gives the same bytes: node examples/recipes/synthetic-rows.mjs [DIRECTORY]
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROWS = 40

/** Numbers from 0 to 1 (mulberry32). */
function randomFrom(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

function drawing(seed) {
  const random = randomFrom(seed)
  return {
    chance: (share) => random() < share,
    oneOf: (values) => values[Math.floor(random() * values.length)],
    whole: (low, high) => low + Math.floor(random() * (high - low + 1)),
    decimal: (low, high) => (low + random() * (high - low)).toFixed(2),
  }
}

/** Texts alone, as a CSV file gives them. Some cells are empty, as in the originals. */
function loans() {
  const { chance, oneOf, whole, decimal } = drawing(2024)
  return Array.from({ length: ROWS }, (_, index) => ({
    id: String(1000 + index),
    loan_amnt: chance(0.05) ? '' : String(100 * whole(10, 400)),
    term: oneOf([' 36 months', ' 60 months']),
    int_rate: `${decimal(5, 22)}%`,
    grade: oneOf(['A', 'B', 'C', 'D', 'E']),
    emp_length: chance(0.1) ? '' : oneOf(['< 1 year', '2 years', '5 years', '10+ years']),
    home_ownership: oneOf(['RENT', 'OWN', 'MORTGAGE']),
    annual_inc: String(500 * whole(40, 300)),
    purpose: oneOf(['debt_consolidation', 'credit_card', 'car', 'small_business']),
    dti: chance(0.05) ? 'n/a' : decimal(2, 45),
    fico_range_low: String(5 * whole(126, 165)),
    target: chance(0.2) ? '1' : '0',
  }))
}

function payments() {
  const { chance, oneOf, whole, decimal } = drawing(2025)
  return Array.from({ length: ROWS }, (_, index) => ({
    TransactionID: String(2987000 + index),
    TransactionAmt: chance(0.2) ? decimal(1000, 3000) : decimal(5, 500),
    ProductCD: oneOf(['W', 'C', 'H', 'R']),
    card4: oneOf(['visa', 'mastercard', 'discover']),
    card6: chance(0.1) ? 'charge card' : oneOf(['debit', 'credit']),
    P_emaildomain: chance(0.15) ? '' : oneOf(['gmail.com', 'yahoo.com', 'mail.com', 'protonmail.com', 'anonymous.com']),
    R_emaildomain: chance(0.6) ? '' : 'gmail.com',
    DeviceType: chance(0.3) ? '' : oneOf(['desktop', 'mobile']),
    isFraud: String(whole(0, 19) === 0 ? 1 : 0),
  }))
}

const directory = process.argv[2] ?? fileURLToPath(new URL('.', import.meta.url))
for (const [name, rows] of [
  ['synthetic-loans.jsonl', loans()],
  ['synthetic-payments.jsonl', payments()],
])
  writeFileSync(join(directory, name), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
