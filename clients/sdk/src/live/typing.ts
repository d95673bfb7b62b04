/** Who is typing where, and telling that this person is. */

/** People that may be shown as typing at a time; more are no help to anybody. */
const TYPING_MAX = 500;

export type TypingEvent = {
  readonly conversationId: string;
  readonly userId: string;
  readonly typing: boolean;
};

export type Typing = {
  /** This person types, or stopped. Notices go out at most once per interval; stopping goes at once. */
  notify(conversationId: string, typing: boolean): void;
  /** A notice of somebody else came. */
  onNotice(notice: TypingEvent): void;
  /** A message of somebody came: they no longer type. */
  onMessage(conversationId: string, userId: string): void;
  close(): void;
};

export function createTyping(dependencies: {
  readonly send: (conversationId: string, typing: boolean) => void;
  readonly onChange: (event: TypingEvent) => void;
  readonly intervalMs: number;
  readonly expiryMs: number;
  readonly now: () => number;
}): Typing {
  const { now } = dependencies;
  const expiries = new Map<string, ReturnType<typeof setTimeout>>();
  const toldMs = new Map<string, number>();

  const change = (event: TypingEvent) => {
    const key = `${event.conversationId} ${event.userId}`;
    const before = expiries.get(key);
    clearTimeout(before);
    expiries.delete(key);
    if (event.typing && expiries.size < TYPING_MAX) {
      const expire = () => change({ ...event, typing: false });
      expiries.set(key, setTimeout(expire, dependencies.expiryMs));
    }
    if (event.typing !== (before !== undefined)) dependencies.onChange(event);
  };
  return {
    notify(conversationId, typing) {
      const told = toldMs.get(conversationId);
      if (typing && told !== undefined && now() - told < dependencies.intervalMs) return;
      if (!typing && told === undefined) return;
      if (typing) toldMs.set(conversationId, now());
      else toldMs.delete(conversationId);
      dependencies.send(conversationId, typing);
    },
    onNotice: change,
    onMessage(conversationId, userId) {
      change({ conversationId, userId, typing: false });
    },
    close() {
      for (const timer of expiries.values()) clearTimeout(timer);
      expiries.clear();
    },
  };
}
