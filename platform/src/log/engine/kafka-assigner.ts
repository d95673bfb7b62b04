/**
 * Who gets which partitions when a group changes. The stock assigner deals them out anew, so that adding one
 * member moves nearly all; here whoever has a partition keeps it, and only what must move moves.
 */
import kafkajs, { type PartitionAssigner } from "kafkajs";

/** One member of a group, and the partitions that it says it has. */
export type AssignedMember = { readonly memberId: string; readonly owned: readonly number[] };

/**
 * Deals partitions out evenly: nobody has two more than anybody else. Members keep what they have as far as that
 * allows; a partition that two claim goes to neither first. The same input gives the same result, in any order.
 */
export function assignPartitions(
  members: readonly AssignedMember[],
  partitionCount: number,
): ReadonlyMap<string, readonly number[]> {
  const sorted = [...members].sort((a, b) => (a.memberId < b.memberId ? -1 : 1));
  const claims = new Map<number, number>();
  for (const { owned } of sorted) {
    for (const partition of new Set(owned)) claims.set(partition, (claims.get(partition) ?? 0) + 1);
  }
  const shareMin = Math.floor(partitionCount / sorted.length);
  let larger = partitionCount % sorted.length;
  const kept = new Map<string, number[]>();
  const free = new Set(Array.from({ length: partitionCount }, (_, partition) => partition));
  // Whoever has most is asked first, so that the larger shares stay where they are.
  for (const { memberId, owned } of sorted.toSorted((a, b) => b.owned.length - a.owned.length)) {
    const undisputed = [...new Set(owned)].filter(
      (partition) => free.has(partition) && claims.get(partition) === 1,
    );
    const keeps = undisputed.sort((a, b) => a - b).slice(0, shareMin + (larger > 0 ? 1 : 0));
    if (keeps.length > shareMin) larger--;
    for (const partition of keeps) free.delete(partition);
    kept.set(memberId, keeps);
  }
  for (const partition of free) {
    const counts = sorted.map(({ memberId }) => kept.get(memberId) ?? []);
    const smallest = counts.reduce((least, own) => (own.length < least.length ? own : least));
    smallest.push(partition);
  }
  for (const own of kept.values()) own.sort((a, b) => a - b);
  return kept;
}

const { AssignerProtocol } = kafkajs;

const NAME = "parley-sticky";
const VERSION = 1;

/** The assigner of one member, which says what the member has when it joins. */
export function createStickyAssigner(
  topic: string,
  partitionCount: number,
  owned: () => readonly number[],
): PartitionAssigner {
  return () => ({
    name: NAME,
    version: VERSION,
    async assign({ members }) {
      const described = members.map(({ memberId, memberMetadata }) => ({
        memberId,
        owned: parseOwned(AssignerProtocol.MemberMetadata.decode(memberMetadata)?.userData),
      }));
      const assignment = assignPartitions(described, partitionCount);
      return members.map(({ memberId }) => ({
        memberId,
        memberAssignment: AssignerProtocol.MemberAssignment.encode({
          version: VERSION,
          assignment: { [topic]: [...(assignment.get(memberId) ?? [])] },
          userData: Buffer.alloc(0),
        }),
      }));
    },
    protocol: ({ topics }) => ({
      name: NAME,
      metadata: AssignerProtocol.MemberMetadata.encode({
        version: VERSION,
        topics,
        userData: Buffer.from(JSON.stringify(owned())),
      }),
    }),
  });
}

function parseOwned(userData: Buffer | undefined): readonly number[] {
  try {
    const value: unknown = JSON.parse(userData?.toString() ?? "[]");
    return Array.isArray(value) ? value.filter((item) => Number.isSafeInteger(item)) : [];
  } catch {
    return [];
  }
}
