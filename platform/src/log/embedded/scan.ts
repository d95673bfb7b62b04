import type { SegmentFiles } from "./files.ts";
import {
  BATCH_HEADER_BYTES,
  type BatchHeader,
  type BatchPlace,
  indexOfMagic,
  isBodyValid,
  readBatchHeader,
} from "./frame.ts";

/** Read at once; a larger batch is read by itself. */
const PIECE_BYTES = 1024 * 1024;

export type ScanSource = BatchPlace & { readonly path: string };

/** Called for every valid batch: its header is at `at` of the buffer and at `position` of the file. */
export type BatchVisitor = (
  buffer: Buffer,
  at: number,
  header: BatchHeader,
  position: number,
) => void;

/**
 * Visits the batches of a segment from its beginning for as long as they are whole and valid, at most
 * `batchesMax`. Resolves with the position after the last one.
 */
export async function scanSegment(
  files: SegmentFiles,
  source: ScanSource,
  visit: BatchVisitor,
  batchesMax = Number.POSITIVE_INFINITY,
): Promise<number> {
  let position = 0;
  let pieceBytes = PIECE_BYTES;
  let left = batchesMax;
  while (left > 0) {
    const piece = await files.read(source.path, position, pieceBytes);
    let at = 0;
    let cutAt = 0; // Where the batch ends that the piece cuts, if it does.
    while (left > 0) {
      const header = readBatchHeader(piece, at, source, position + at);
      if (header === undefined) break;
      const end = at + BATCH_HEADER_BYTES + header.bodyBytes;
      if (end > piece.length) cutAt = end;
      if (!isBodyValid(piece, at, header)) break;
      visit(piece, at, header, position + at);
      at = end;
      left -= 1;
    }
    position += at;
    if (at > 0) {
      pieceBytes = PIECE_BYTES;
    } else if (cutAt > 0 && piece.length === pieceBytes) {
      pieceBytes = cutAt;
    } else {
      break;
    }
  }
  return position;
}

/**
 * The position of the first batch header after `position`, whether or not its body is whole; undefined
 * if there is none. Such a header proves that everything before it had been synced.
 */
export async function findHeaderAfter(
  files: SegmentFiles,
  source: ScanSource,
  position: number,
): Promise<number | undefined> {
  const size = await files.size(source.path);
  for (let from = position + 1; from < size; from += PIECE_BYTES) {
    // Pieces overlap by a header, so that none is missed on a border.
    const piece = await files.read(source.path, from, PIECE_BYTES + BATCH_HEADER_BYTES);
    for (let at = indexOfMagic(piece, 0); at >= 0; at = indexOfMagic(piece, at + 1)) {
      if (readBatchHeader(piece, at, source, from + at) !== undefined) return from + at;
    }
  }
  return undefined;
}
