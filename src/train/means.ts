/** @file Loss and further figures as they come out of batches: parts of a mean, which are added up. */

export interface Means {
  readonly loss: number
  /**
   * Means of what else an objective tells, by the names that logs have for them. Absent where it tells nothing else.
   */
  readonly figures?: Readonly<Record<string, number>>
}

export function addMeans(a: Means, b: Means): Means {
  const figures = { ...a.figures }
  for (const [name, value] of Object.entries(b.figures ?? {})) figures[name] = (figures[name] ?? 0) + value
  return meansOf(a.loss + b.loss, figures)
}

export function divideMeans({ loss, figures = {} }: Means, divisor: number): Means {
  return meansOf(
    loss / divisor,
    Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, value / divisor])),
  )
}

function meansOf(loss: number, figures: Readonly<Record<string, number>>): Means {
  return { loss, ...(Object.keys(figures).length > 0 && { figures }) }
}
