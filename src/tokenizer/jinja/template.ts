/** @file A compiled template: source in, function of variables out, with errors that name the line. */

import type { Steps } from '../../turns.js'
import { compileTemplate as compileStatements } from './compile.js'
import { TemplateFailure } from './errors.js'
import { ConstantFolder } from './fold.js'
import type { Ending } from './frames.js'
import { GLOBALS } from './globals.js'
import type { Statement } from './nodes.js'
import { parseTemplate } from './parser.js'
import { Pause, type Pausing } from './pause.js'
import { Runtime } from './runtime.js'
import type { Value } from './values.js'

/** A template ready to be rendered. */
export interface CompiledTemplate {
  readonly statements: readonly Statement[]
  /** Renders into a fresh runtime, whose root holds the text. @throws Error with the line of what fails */
  run(variables: ReadonlyMap<string, Value>, now: Date, watched?: ReadonlySet<Value>): Pausing<Runtime>
}

/** Compiles a template. @throws Error naming the line of what is no Jinja, or is not supported */
export function compileTemplate(source: string): CompiledTemplate {
  try {
    const statements = parseTemplate(source)
    // Constants look at no variable, and at no time.
    const folder = new ConstantFolder(new Runtime(new Date(0), new Map()))
    const render = compileStatements(statements, folder)
    return {
      statements,
      run(variables, now, watched) {
        const runtime = new Runtime(now, variables, watched, GLOBALS)
        try {
          const ending = render(runtime)
          return ending instanceof Pause ? new Pause(goOn(runtime, ending)) : runtime
        } catch (error) {
          throw withLine(error, runtime)
        }
      },
    }
  } catch (error) {
    throw withLine(error)
  }
}

function* goOn(runtime: Runtime, { rest }: Pause<Ending>): Steps<Runtime> {
  try {
    yield* rest
  } catch (error) {
    throw withLine(error, runtime)
  }
  return runtime
}

function withLine(error: unknown, runtime?: Runtime): unknown {
  if (error instanceof TemplateFailure) {
    // What the template itself says needs no line.
    const line = error.kind === 'TemplateError' ? undefined : (error.line ?? runtime?.line)
    return new TemplateFailure(error.kind, line === undefined ? error.message : `${error.message} (line ${line})`, line)
  }
  // The stack is the bound of nesting that no counter sees, such as lists within lists within lists.
  if (error instanceof RangeError) {
    return new TemplateFailure(
      'Bounds',
      'expected a template and values of less depth, got a deeper nesting',
      runtime?.line,
    )
  }
  return error
}
