/** Searching in what is far away: few rounds of many questions each, instead of many of one. */

/** Questions of one round: ten thousand rows take four rounds, and the newest few dozen one. */
const POINTS_PER_ROUND = 15;

/**
 * The first number from `first` to `last` that has reached what is sought, undefined if none has. `haveReached`
 * answers for ascending numbers, in their order; once a number has reached it, all after it have.
 *
 * The first round looks back from the end in steps that double, because what is sought is usually new; each
 * other one divides what is left evenly.
 */
export async function findFirst(
  first: number,
  last: number,
  haveReached: (points: readonly number[]) => Promise<readonly boolean[]>,
): Promise<number | undefined> {
  // Everything before `low` has not reached it; `high`, and everything behind it, has.
  let low = first;
  let high = last + 1;
  for (let round = 0; low < high; round++) {
    const points = round === 0 ? doublingBack(low, high) : evenlySpaced(low, high);
    const reached = await haveReached(points);
    const at = reached.indexOf(true);
    if (at !== 0) low = (points.at(at < 0 ? -1 : at - 1) ?? low) + 1;
    if (at >= 0) high = points[at] ?? high;
  }
  return high <= last ? high : undefined;
}

/** `high - 1`, `high - 2`, `high - 4` … down to `low`, ascending. */
function doublingBack(low: number, high: number): readonly number[] {
  const points: number[] = [];
  for (let back = 1; high - back >= low && points.length < POINTS_PER_ROUND; back *= 2) {
    points.push(high - back);
  }
  return points.reverse();
}

function evenlySpaced(low: number, high: number): readonly number[] {
  const count = Math.min(POINTS_PER_ROUND, high - low);
  const step = (high - low) / (count + 1);
  const points = Array.from({ length: count }, (_, at) => low + Math.floor(step * (at + 1)));
  // With few numbers left two steps may end on the same one.
  return high - low <= POINTS_PER_ROUND ? range(low, high) : points;
}

function range(low: number, high: number): readonly number[] {
  return Array.from({ length: high - low }, (_, at) => low + at);
}
