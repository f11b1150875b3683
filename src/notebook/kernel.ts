/** @file Where outputs go: to the kernel that this process is, Deno's or tslab's, or to the terminal. */

import { realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { expectOutput } from './check.js'
import type { NotebookOutput } from './output.js'

/** A place in the outputs of a cell whose content can be replaced. */
export interface LiveDisplay {
  /** Shows an output in place of the one before. */
  update(output: NotebookOutput): Promise<void>
}

/** What is used of Deno's kernel. */
interface DenoJupyter {
  broadcast(type: string, content: Readonly<Record<string, unknown>>): Promise<void>
}

/** What is used of tslab, the kernel for Node. */
interface Tslab {
  newDisplay(): { raw(type: string, content: string): void }
}

/** Shows an output below the cell that runs. */
export async function display(output: NotebookOutput): Promise<void> {
  await liveDisplay().update(output)
}

let count = 0

/**
 * Milliseconds after which Deno's kernel has sent what was broadcast. A cell that ends before can lose it: its end
 * overtakes the output.
 */
const DENO_PAUSE = 30

/** A place below the cell that runs, for what changes while it runs. In a terminal each update is printed. */
export function liveDisplay(): LiveDisplay {
  const deno = denoKernel()
  const tslab = deno ? undefined : tslabKernel()
  if (deno) return denoDisplay(deno)
  // tslab has one form for each display: the one that says most.
  const place = tslab?.newDisplay()
  return {
    async update(output) {
      expectOutput('display', output)
      const [type, content] = Object.entries(output.data)[0] as [string, string]
      if (place) place.raw(type, content)
      else process.stdout.write(`${output}\n`)
    },
  }
}

function denoDisplay(deno: DenoJupyter): LiveDisplay {
  const transient = { display_id: `lowrank-${process.pid}-${count++}` }
  let isThere = false
  return {
    async update(output) {
      expectOutput('display', output)
      const type = isThere ? 'update_display_data' : 'display_data'
      isThere = true
      await deno.broadcast(type, { data: output.data, metadata: {}, transient })
      await setTimeout(DENO_PAUSE)
    },
  }
}

function denoKernel(): DenoJupyter | undefined {
  return (globalThis as { Deno?: { jupyter?: DenoJupyter } }).Deno?.jupyter
}

/** The module of the kernel, which is the program of this process: another copy would not know the notebook. */
function tslabKernel(): Tslab | undefined {
  const [, program, command] = process.argv
  if (command !== 'kernel' || program === undefined || !/^tslab(?:\.js)?$/.test(basename(program))) return undefined
  return createRequire(realpathSync(program))('tslab') as Tslab
}
