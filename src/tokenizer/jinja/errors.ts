/**
 * @file What goes wrong in a template: Python's kinds of errors, refusals of what is not implemented, and spent bounds.
 */

/** Python's exceptions, as far as a template can tell them apart, and two kinds that no template can catch. */
export type ErrorKind =
  | 'AttributeError'
  | 'AssertionError'
  | 'FilterArgumentError'
  | 'IndexError'
  | 'KeyError'
  | 'OverflowError'
  | 'SecurityError'
  | 'TemplateError'
  | 'TemplateRuntimeError'
  | 'TemplateSyntaxError'
  | 'TypeError'
  | 'UndefinedError'
  | 'ValueError'
  | 'ZeroDivisionError'
  // Python would have rendered it, this interpreter does not: never caught on the way.
  | 'Unsupported'
  // The template spent its bounds of steps, size or depth.
  | 'Bounds'

/** An error of a template. */
export class TemplateFailure extends Error {
  readonly kind: ErrorKind
  /** Line of the template, where the error itself knows it. */
  line: number | undefined

  constructor(kind: ErrorKind, message: string, line?: number) {
    super(message)
    this.kind = kind
    this.line = line
  }
}

export function fail(kind: ErrorKind, message: string, line?: number): never {
  throw new TemplateFailure(kind, message, line)
}

export function typeError(message: string): never {
  return fail('TypeError', message)
}

export function valueError(message: string): never {
  return fail('ValueError', message)
}

/** Refuses what Python has and this interpreter does not, by its name. */
export function unsupported(what: string, line?: number): never {
  return fail('Unsupported', `${what} is not supported in chat templates here; rewrite the template without it`, line)
}

/** Whether `error` is one of these exceptions of Python. */
export function isKind(error: unknown, ...kinds: readonly ErrorKind[]): boolean {
  return error instanceof TemplateFailure && kinds.includes(error.kind)
}
