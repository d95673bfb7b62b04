/** What a check of `parley doctor` found. */
export type Finding = {
  /** A `problem` keeps the server from running; a `warning` does not. */
  readonly level: "ok" | "warning" | "problem";
  readonly what: string;
  /** What to do; undefined if there is nothing to do. */
  readonly remedy: string | undefined;
};

export function ok(what: string): Finding {
  return { level: "ok", what, remedy: undefined };
}

export function warning(what: string, remedy: string): Finding {
  return { level: "warning", what, remedy };
}

export function problem(what: string, remedy: string): Finding {
  return { level: "problem", what, remedy };
}
