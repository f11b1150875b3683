/** @file Compares the answers of a JSON file, and writes the report: to be killed in between. */

import { readFileSync } from 'node:fs'
import { compareAnswers } from '../../dist/index.js'

const { rows, options } = JSON.parse(readFileSync(process.argv[2], 'utf8'))
process.stdout.write(JSON.stringify(await compareAnswers(rows, options)))
