/**
 * Orders a merged list: elements that the change names come in its order, the others keep their
 * place before the first element that followed them in the live list; what is in neither comes last.
 * All three are identities in order.
 */
export function elementOrder(present: readonly string[], wanted: readonly string[], live: readonly string[]): string[] {
  const place = new Map(live.map((id, i) => [id, i]));
  const there = new Set(present);
  const named = new Set(wanted);
  const left = [...new Set([...live, ...present])].filter((id) => there.has(id) && !named.has(id));
  const right = wanted.filter((id) => there.has(id));
  const ordered: string[] = [];
  let next = 0;
  for (const id of right) {
    const at = place.get(id);
    while (at !== undefined && next < left.length && (place.get(left[next]!) ?? at) < at) ordered.push(left[next++]!);
    ordered.push(id);
  }
  return [...ordered, ...left.slice(next)];
}
