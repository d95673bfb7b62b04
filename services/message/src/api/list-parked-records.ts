import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type ListParkedRecordsRequest,
  type ListParkedRecordsResponse,
  ListParkedRecordsResponseSchema,
} from "@parley/gen/parley/ops/v1/parked_record_service_pb";
import { invalidArgument } from "@parley/platform/errors";
import type { MessageStore, StoredParkedRecord } from "../ports.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";

type Deps = { readonly store: Pick<MessageStore, "readParked"> };

const PAGE_SIZE_DEFAULT = 50;
const PAGE_SIZE_MAX = 200;
const PARTITION_MAX = 2 ** 32 - 1;

/** `ParkedRecordService.ListParkedRecords`. */
export function createListParkedRecords({ store }: Deps) {
  return async (request: ListParkedRecordsRequest): Promise<ListParkedRecordsResponse> => {
    const size = Math.min(request.pageSize || PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX);
    const after = request.pageToken === "" ? undefined : decodeToken(request.pageToken);
    const found = await store.readParked(after, size + 1);
    const page = found.slice(0, size);
    const last = page.at(-1);
    const more = found.length > size && last !== undefined;
    return create(ListParkedRecordsResponseSchema, {
      records: page.map((record) => ({
        topic: record.topic,
        partition: record.partition,
        offset: BigInt(record.offset),
        appendTime: timestampFromMs(record.appendTimeMs),
        sizeBytes: BigInt(record.sizeBytes),
        reason: record.reason,
      })),
      nextPageToken: more ? encodePageToken([last.topic, last.partition, last.offset]) : "",
    });
  };
}

function decodeToken(
  pageToken: string,
): Pick<StoredParkedRecord, "topic" | "partition" | "offset"> {
  const parts = decodePageToken(pageToken, ["string", "number", "number"]);
  const [topic, partition, offset] = parts as [string, number, number];
  const inRange =
    Number.isSafeInteger(offset + 1) &&
    offset >= 0 &&
    Number.isInteger(partition) &&
    partition >= 0 &&
    partition <= PARTITION_MAX;
  if (!inRange) throw invalidArgument("page_token", "is none that this server gave");
  return { topic, partition, offset };
}
