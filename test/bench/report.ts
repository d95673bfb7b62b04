/** The benchmark's results: one row per figure, with its target where there is one. */

export type Row = {
  readonly section: string;
  readonly figure: string;
  readonly value: string;
  readonly target: string;
  /** Undefined where there is no target, or where a short run cannot judge it. */
  readonly ok: boolean | undefined;
};

export type Report = { readonly machine: string; readonly quick: boolean; readonly rows: Row[] };

export function renderReport(report: Report): string {
  const header: Row = {
    section: "",
    figure: "figure",
    value: "measured",
    target: "target",
    ok: undefined,
  };
  const width = (pick: (row: Row) => string) =>
    Math.max(...[header, ...report.rows].map((row) => pick(row).length));
  const widths = [
    width((row) => row.figure),
    width((row) => row.value),
    width((row) => row.target),
  ] as const;
  const line = (row: Row) =>
    `  ${row.figure.padEnd(widths[0])}  ${row.value.padStart(widths[1])}  ${row.target.padEnd(widths[2])}  ${verdict(row)}`.trimEnd();
  const lines = [
    `\n${report.machine}${report.quick ? " (quick: targets of speed are not judged)" : ""}`,
  ];
  let section = "";
  for (const row of report.rows) {
    if (row.section !== section) {
      section = row.section;
      lines.push("", section, line(header));
    }
    lines.push(line(row));
  }
  return `${lines.join("\n")}\n`;
}

function verdict(row: Row): string {
  if (row.ok === undefined) return "";
  return row.ok ? "ok" : "MISSED";
}

/** A figure without a target. */
export function fact(section: string, figure: string, value: string): Row {
  return { section, figure, value, target: "", ok: undefined };
}

/** A figure that must hold in every run, short or not. */
export function invariant(section: string, figure: string, value: number): Row {
  return { section, figure, value: String(value), target: "0", ok: value === 0 };
}
