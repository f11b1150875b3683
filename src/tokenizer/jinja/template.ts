/** @file A compiled template: source in, function of variables out, with errors that name the line. */

import { compileTemplate as compileStatements } from './compile.js'
import { TemplateFailure } from './errors.js'
import { ConstantFolder } from './fold.js'
import { GLOBALS } from './globals.js'
import type { Statement } from './nodes.js'
import { parseTemplate } from './parser.js'
import { Runtime } from './runtime.js'
import type { Value } from './values.js'

/** A template ready to be rendered. */
export interface CompiledTemplate {
  readonly statements: readonly Statement[]
  /** Renders into a fresh runtime, whose root holds the text. @throws Error with the line of what fails */
  run(variables: ReadonlyMap<string, Value>, now: Date, watched?: ReadonlySet<Value>): Runtime
}

/** Compiles a template. @throws Error naming the line of what is no Jinja, or is not supported */
export function compileTemplate(source: string): CompiledTemplate {
  const { statements, render } = withLine(undefined, () => {
    const parsed = parseTemplate(source)
    // Constants look at no variable, and at no time.
    const folder = new ConstantFolder(new Runtime(new Date(0), new Map()))
    return { statements: parsed, render: compileStatements(parsed, folder) }
  })
  return {
    statements,
    run(variables, now, watched) {
      const runtime = new Runtime(now, new Map([...GLOBALS, ...variables]), watched)
      withLine(runtime, () => render(runtime))
      return runtime
    },
  }
}

function withLine<T>(runtime: Runtime | undefined, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof TemplateFailure) {
      // What the template itself says needs no line.
      const line = error.kind === 'TemplateError' ? undefined : (error.line ?? runtime?.line)
      throw new TemplateFailure(
        error.kind,
        line === undefined ? error.message : `${error.message} (line ${line})`,
        line,
      )
    }
    // The stack is the bound of nesting that no counter sees, such as lists within lists within lists.
    if (error instanceof RangeError) {
      throw new TemplateFailure(
        'Bounds',
        'expected a template and values of less depth, got a deeper nesting',
        runtime?.line,
      )
    }
    throw error
  }
}
