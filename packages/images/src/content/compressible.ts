/** A piece of a buffer, and whether compressing it would be in vain. */
export interface Run {
  readonly start: number;
  readonly end: number;
  readonly isRandom: boolean;
}

const segmentSize = 16_384;
/** Segments that are worth being treated apart from what is around them. */
const leastSegments = 2;

/** Cuts what stands behind `start` into runs that shall be compressed and long ones that look random. */
export function runsOf(content: Uint8Array, start: number): Run[] {
  const runs: Run[] = [];
  for (let at = start; at < content.length; ) {
    const isRandom = looksRandom(content.subarray(at, at + segmentSize));
    let end = at + segmentSize;
    while (end < content.length && looksRandom(content.subarray(end, end + segmentSize)) === isRandom) {
      end += segmentSize;
    }
    add(runs, { start: at, end: Math.min(end, content.length), isRandom });
    at = end;
  }
  return runs;
}

function add(runs: Run[], run: Run): void {
  const isRandom = run.isRandom && run.end - run.start >= leastSegments * segmentSize;
  const last = runs.at(-1);
  if (last === undefined || isRandom || last.isRandom) runs.push({ ...run, isRandom });
  else runs[runs.length - 1] = { ...last, end: run.end };
}

const samples = 4;
const sampleSize = 128;
const counted = samples * sampleSize;
/**
 * Pairs of equal bytes among those that are looked at, 1.2 times as many as chance makes of bytes that are all as frequent:
 * an entropy of more than 7.7 bits a byte, as what is compressed or encrypted has.
 */
const mostPairs = counted + (counted * (counted - 1) * 1.2) / 256;
const counts = new Uint16Array(256);

/** By samples in a row, for periodic content not to look random. Content of less than their size does not. */
function looksRandom(content: Uint8Array): boolean {
  if (content.length < counted) return false;
  counts.fill(0);
  const step = Math.floor((content.length - sampleSize) / (samples - 1));
  for (let sample = 0; sample < samples; sample++) {
    for (let at = sample * step; at < sample * step + sampleSize; at++) counts[content[at]!]!++;
  }
  let pairs = 0;
  for (const count of counts) pairs += count * count;
  return pairs < mostPairs;
}
