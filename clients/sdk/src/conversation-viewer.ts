/** A conversation on screen: its view, kept as entries come, growing backwards on request. */
import type { Message } from "@parley/gen/parley/message/v1/message_pb";
import { type ConversationView, emptyView, reduceView } from "./content/view.ts";
import type { Emitter } from "./emitter.ts";
import type { ClientEvents } from "./events.ts";
import type { HistoryOptions, HistoryPage } from "./history.ts";

/** Lines that a view may hold; whoever scrolls further back opens another one. */
const VIEW_MESSAGES_MAX = 10_000;
/** Lines that are read again when the server's history turns out to be another: one page of the contract. */
const RELOAD_MESSAGES_MAX = 200;

export type ConversationViewer = {
  /** The view as it is now; another object after each change. */
  readonly view: ConversationView;
  /** False when the beginning of the conversation is in the view. */
  readonly more: boolean;
  /** Calls `listener` after each change; returns the function that ends it. */
  onChange(listener: (view: ConversationView) => void): () => void;
  /** Adds older entries. Calls at the same time share one reading. */
  loadOlder(count?: number): Promise<void>;
  close(): void;
};

export async function openConversationViewer(
  id: string,
  options: { readonly count?: number },
  dependencies: {
    readonly emitter: Emitter<ClientEvents>;
    readonly history: (options: HistoryOptions) => Promise<HistoryPage>;
  },
): Promise<ConversationViewer> {
  const listeners = new Set<(view: ConversationView) => void>();
  let view = emptyView;
  let oldest: bigint | undefined;
  let more = true;
  let loading: Promise<void> | undefined;
  /** How often the server's history turned out to be another. */
  let replacements = 0;

  const add = (entries: readonly Message[]) => {
    const next = reduceView(view, entries);
    if (next === view) return;
    view = next;
    for (const listener of [...listeners]) listener(view);
  };
  // Before history is read, so that nothing falls between; the view does not mind the order.
  const off = dependencies.emitter.on("message", (entry) => {
    if (entry.conversationId === id) add([entry]);
  });
  const load = async (count: number | undefined) => {
    if (!more || view.messages.length >= VIEW_MESSAGES_MAX) return;
    const replaced = replacements;
    const page = await dependencies.history({ before: oldest, count });
    // Older entries of a history that is gone; the reading that began with its end brings the others.
    if (replaced !== replacements) return loading;
    oldest = page.entries[0]?.seq ?? oldest;
    more = page.more && page.entries.length > 0;
    add(page.entries);
  };
  const loadOlder = (count?: number) => {
    if (loading) return loading;
    const reading = load(count).finally(() => {
      if (loading === reading) loading = undefined;
    });
    loading = reading;
    return reading;
  };
  const offReplaced = dependencies.emitter.on("conversationReplaced", ({ conversationId }) => {
    if (conversationId !== id) return;
    replacements++;
    const count = Math.min(Math.max(view.messages.length, options.count ?? 0), RELOAD_MESSAGES_MAX);
    view = emptyView;
    oldest = undefined;
    more = true;
    loading = undefined;
    for (const listener of [...listeners]) listener(view);
    // What cannot be read now is read by the next `loadOlder`.
    loadOlder(count).catch(() => {});
  });
  const end = () => {
    off();
    offReplaced();
  };
  try {
    await loadOlder(options.count);
  } catch (error) {
    end();
    throw error;
  }
  return {
    get view() {
      return view;
    },
    get more() {
      return more;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    loadOlder,
    close() {
      end();
      listeners.clear();
    },
  };
}
