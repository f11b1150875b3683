/**
 * @file Prints what failed, a line each, and `N passed, N failed`, from reports that vitest wrote as JSON, and exits 1 unless all is well.
 * Usage: count-tests.mjs CHECKS_EXIT_CODE (REPORT TESTS_EXIT_CODE)...
 */

import { readFileSync } from 'node:fs'
import { relative } from 'node:path'

const [checksExit, ...runs] = process.argv.slice(2)

const firstLine = (text = '') => text.split('\n', 1)[0]

let passed = 0
let failed = 0
let skipped = 0
for (let i = 0; i < runs.length; i += 2) {
  const [path, exitCode] = [runs[i], runs[i + 1]]
  let failedHere = 0
  try {
    const report = JSON.parse(readFileSync(path, 'utf8'))
    passed += report.numPassedTests
    // A file that does not load, or whose process died, has no failed test of its own but is a failure.
    const brokenFiles = report.testResults.filter(
      (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
    )
    for (const file of report.testResults) {
      const name = relative('.', file.name)
      if (brokenFiles.includes(file)) console.log(`failed: ${name}: ${firstLine(file.message)}`)
      for (const test of file.assertionResults) {
        if (test.status === 'failed')
          console.log(`failed: ${name} > ${test.fullName}: ${firstLine(test.failureMessages[0])}`)
      }
    }
    failedHere = report.numFailedTests + brokenFiles.length
    skipped += report.numPendingTests + report.numTodoTests
  } catch (error) {
    console.log(`No test report: ${error.message}`)
  }
  failed += exitCode !== '0' && failedHere === 0 ? 1 : failedHere
}
if (checksExit !== '0') {
  console.log('failed: a check, see above')
  failed += 1
}
if (passed === 0 && failed === 0) failed = 1

console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed === 0 ? 0 : 1
