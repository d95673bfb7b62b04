/** Takings of partitions, between the contract and the port. */
import type { OwnedPartition } from "@parley/gen/parley/internal/presence/v1/partition_route_service_pb";
import type { PartitionTaking } from "../route-ports.ts";

export function toOwnedPartition({ partition, generation }: PartitionTaking) {
  return { partition, generation: BigInt(generation) };
}

/** Generations are times in ms, or counts from there: far below what a number holds exactly. */
export function toTaking({
  partition,
  generation,
}: Pick<OwnedPartition, "partition" | "generation">): PartitionTaking {
  return { partition, generation: Number(generation) };
}
