/** What catch-up has to tell beside the entries that it sends. */
import { create } from "@bufbuild/protobuf";
import {
  type DivergedConversation,
  DivergedConversationSchema,
  type SkippedRange,
  SkippedRangeSchema,
} from "@parley/gen/parley/realtime/v1/frame_pb";

/** What `caught_up` says. */
export type CatchUpResult = {
  readonly skipped: SkippedRange[];
  readonly diverged: DivergedConversation[];
};

export class CatchUpFindings {
  #skipped: SkippedRange[] = [];
  readonly #diverged = new Map<string, DivergedConversation>();

  /** Entries of a conversation that were left out, both ends included. */
  skip(conversationId: string, firstSeq: number, lastSeq: number): void {
    const range = { conversationId, firstSeq: BigInt(firstSeq), lastSeq: BigInt(lastSeq) };
    this.#skipped.push(create(SkippedRangeSchema, range));
  }

  /** A conversation's history is another than the device's. Nothing else is told of it. */
  diverge(conversationId: string, lastSeq: number): void {
    const told = { conversationId, lastSeq: BigInt(lastSeq) };
    this.#skipped = this.#skipped.filter((range) => range.conversationId !== conversationId);
    this.#diverged.set(conversationId, create(DivergedConversationSchema, told));
  }

  hasDiverged(conversationId: string): boolean {
    return this.#diverged.has(conversationId);
  }

  result(): CatchUpResult {
    return { skipped: this.#skipped, diverged: [...this.#diverged.values()] };
  }
}
