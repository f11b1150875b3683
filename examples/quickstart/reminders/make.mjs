// @ts-check
/**
 * @file Makes train.jsonl and heldout.jsonl: a reminder as people say it, and the same as JSON. Everything in them is written here.
 *
 *   node examples/quickstart/reminders/make.mjs [DIR]     default: the folder of this file
 *
 * The same file gives the same rows. What is to be done in a held-out row, "call Hannah" or "mend the kettle", is in no row to train on.
 */
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const TRAIN_ROWS = 1200
const HELD_OUT_ROWS = 200
/** One thing to do in five is held out. */
const HELD_OUT_EVERY = 5

const words = (/** @type {string} */ text) => text.trim().split(/\s*,\s*/)

const PEOPLE =
  words(`Anna, Ben, Clara, Daniel, Emma, Frank, George, Hannah, Jack, John, Kate, Laura, Lucy, Mark, Mary, Martin, Paul,
  Peter, Rachel, Robert, Ruth, Sam, Sarah, Simon, Susan, Thomas, my mother, my father, my sister, my brother, my uncle, the doctor,
  the dentist, the bank, the school, the neighbours`)
const THINGS =
  words(`the bicycle, the car, the chair, the clock, the coat, the door, the fence, the gate, the kettle, the kitchen,
  the lamp, the window, the roof, the shoes, the table, the stairs`)
const GOODS =
  words(`apples, bread, butter, candles, cheese, coffee, eggs, fish, flour, flowers, fruit, honey, milk, oil, paper, rice,
  salt, soap, stamps, sugar, tea, wine`)

/** What can be done, with what. */
const TASKS = [
  ...['call', 'visit', 'meet', 'write to', 'thank'].flatMap((verb) => PEOPLE.map((name) => `${verb} ${name}`)),
  ...['clean', 'mend', 'paint', 'measure'].flatMap((verb) => THINGS.map((thing) => `${verb} ${thing}`)),
  ...['buy', 'order', 'fetch'].flatMap((verb) => GOODS.map((good) => `${verb} ${good}`)),
]

const DAYS = words('Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday')
const HOURS = words('twelve, one, two, three, four, five, six, seven, eight, nine, ten, eleven')
/** Minutes after the hour, and how they are said before or after it. */
const MINUTES = [
  { minutes: 0, say: (/** @type {string} */ hour) => `${hour} o'clock` },
  { minutes: 15, say: (/** @type {string} */ hour) => `quarter past ${hour}` },
  { minutes: 30, say: (/** @type {string} */ hour) => `half past ${hour}` },
  { minutes: -15, say: (/** @type {string} */ hour) => `quarter to ${hour}` },
]
/** Parts of the day and the hours, of 24, that are said with them. */
const PARTS = [
  { name: 'in the morning', hours: [6, 7, 8, 9, 10, 11] },
  { name: 'in the afternoon', hours: [1, 2, 3, 4, 5].map((hour) => hour + 12) },
  { name: 'in the evening', hours: [6, 7, 8, 9].map((hour) => hour + 12) },
]

/** @type {((task: string, day: string, time: string) => string)[]} */
const SENTENCES = [
  (task, day, time) => `Remind me to ${task} on ${day} at ${time}.`,
  (task, day, time) => `On ${day} at ${time} I have to ${task}.`,
  (task, day, time) => `I must ${task} at ${time} on ${day}.`,
  (task, day, time) => `Do not let me forget to ${task} on ${day}, at ${time}.`,
  (task, day, time) => `At ${time} on ${day} it is time to ${task}.`,
  (task, day, time) => `${day}, ${time}: ${task}.`,
]

/** A small generator of numbers in [0, 1): mulberry32. @param {number} seed */
function numbers(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const random = numbers(20)
const pick = (/** @type {readonly any[]} */ list) => list[Math.floor(random() * list.length)]

/** @param {string} task */
function row(task) {
  const day = pick(DAYS)
  const part = pick(PARTS)
  const hour = pick(part.hours)
  const { minutes, say } = pick(MINUTES)
  const of24 = hour * 60 + minutes
  const clock = [Math.floor(of24 / 60), of24 % 60].map((number) => String(number).padStart(2, '0')).join(':')
  const sentence = pick(SENTENCES)(task, day, `${say(HOURS[hour % 12])} ${part.name}`)
  return { prompt: `${sentence}\n`, completion: JSON.stringify({ task, day, time: clock }) }
}

/** Rows with distinct prompts. @param {string[]} tasks @param {number} count */
function rows(tasks, count) {
  const made = new Map()
  while (made.size < count) {
    const next = row(pick(tasks))
    made.set(next.prompt, next)
  }
  return [...made.values()]
}

const shuffled = TASKS.map((task) => ({ task, key: random() }))
  .sort((a, b) => a.key - b.key)
  .map(({ task }) => task)
const folder = process.argv[2] ?? dirname(fileURLToPath(import.meta.url))
for (const [name, tasks, count] of /** @type {const} */ ([
  ['train.jsonl', shuffled.filter((_, i) => i % HELD_OUT_EVERY !== 0), TRAIN_ROWS],
  ['heldout.jsonl', shuffled.filter((_, i) => i % HELD_OUT_EVERY === 0), HELD_OUT_ROWS],
])) {
  const lines = rows(tasks, count).map((line) => `${JSON.stringify(line)}\n`)
  writeFileSync(join(folder, name), lines.join(''))
}
