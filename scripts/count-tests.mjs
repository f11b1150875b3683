/**
 * @file Prints `N passed, N failed` from vitest's JSON report, and exits 1 unless all is well.
 * Usage: count-tests.mjs REPORT TESTS_EXIT_CODE CHECKS_EXIT_CODE
 */

import { readFileSync } from 'node:fs'

const [reportPath, testsExit, checksExit] = process.argv.slice(2)

let passed = 0
let failed = 0
let skipped = 0
try {
  const report = JSON.parse(readFileSync(reportPath, 'utf8'))
  passed = report.numPassedTests
  // A file that does not load, or whose process died, has no failed test of its own but is a failure.
  const brokenFiles = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  )
  failed = report.numFailedTests + brokenFiles.length
  skipped = report.numPendingTests + report.numTodoTests
} catch (error) {
  console.log(`No test report: ${error.message}`)
}
if (testsExit !== '0' && failed === 0) failed = 1
if (checksExit !== '0') failed += 1
if (passed === 0 && failed === 0) failed = 1

console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exitCode = failed === 0 ? 0 : 1
