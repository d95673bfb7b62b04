/** Tells that others received or read one's own messages, each stage once. */
import type { Receipt } from "@parley/gen/parley/message/v1/message_pb";

/** Own messages whose receipts are still told. */
const OWN_MESSAGES_MAX = 200;

export type ReceiptLines = {
  /** A message of one's own was shown. */
  onOwnMessage(seq: bigint): void;
  onReceipt(receipt: Receipt): void;
  clear(): void;
};

export function createReceiptLines(
  print: (text: string) => void,
  name: (userId: string) => string,
): ReceiptLines {
  let own: bigint[] = [];
  const told = new Map<string, { delivered: bigint; read: bigint }>();

  /** The newest own message up to `seq`. */
  const newest = (seq: bigint) => own.findLast((candidate) => candidate <= seq) ?? 0n;
  return {
    onOwnMessage(seq) {
      own = [...own, seq].slice(-OWN_MESSAGES_MAX);
    },
    onReceipt({ userId, deliveredSeq, readSeq }) {
      const before = told.get(userId) ?? { delivered: 0n, read: 0n };
      const read = newest(readSeq);
      const delivered = newest(deliveredSeq);
      if (read > before.read) print(`      ✓✓ ${name(userId)} read #${read}`);
      else if (delivered > before.delivered)
        print(`      ✓✓ delivered to ${name(userId)}: #${delivered}`);
      told.set(userId, {
        read: read > before.read ? read : before.read,
        delivered: delivered > before.delivered ? delivered : before.delivered,
      });
    },
    clear() {
      own = [];
      told.clear();
    },
  };
}
