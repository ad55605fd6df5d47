import { type Random, WherryError } from '@wherry/base';

const pattern = /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** A container's name without its slash; throws dockerd's words. */
export function checkedName(name: string): string {
  if (!pattern.test(name))
    throw new WherryError('invalid', `Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  return name.replace(/^\//, '');
}

const moods =
  'able airy amber ample apt avid bold brave breezy bright brisk calm candid cheery civil clear clever coral cosy crisp curious dapper daring deft eager early easy fair fleet fond frank fresh gentle glad golden grand hardy hearty honest humble ideal jolly keen kind level light lively loyal lucid lucky mellow merry mild modest neat nimble noble patient placid plucky polite prime proud quick quiet ready regal robust rosy serene sharp silent silver smooth snug solid spry stable steady still sturdy sunny swift tidy tranquil true upbeat vivid warm wise witty zesty'.split(
    ' ',
  );
const boats =
  'anchor argosy barge barque beacon bireme boatswain bowline brig buoy cabin canoe capstan caravel carrack catamaran clipper coaster cog compass coracle corvette cutter dhow dinghy dory dugout felucca ferry frigate galleon galley gig gondola halyard harbour hawser helm hoy islander jetty junk kayak keel ketch knarr lagoon lantern launch lighter longship lugger mainsail mariner mast navigator nautilus oar packet pilot pinnace pram prow punt quay raft rigger rudder sampan schooner sextant shallop skiff skipper sloop smack spar spinnaker steamer tartane tender tiller trawler trimaran trireme tug umiak wherry whaler windlass xebec yawl'.split(
    ' ',
  );

/** How often a plain pair of words is tried before a digit is added, as with dockerd. */
const tries = 6;

/** A name of two words that nobody has. */
export function randomName(random: Random, taken: (name: string) => boolean): string {
  const pick = (words: readonly string[]): string => words[Number.parseInt(random.hex(6), 16) % words.length] as string;
  for (let attempt = 0; ; attempt++) {
    const name = `${pick(moods)}_${pick(boats)}${attempt < tries ? '' : random.hex(attempt - tries + 1)}`;
    if (!taken(name)) return name;
  }
}
