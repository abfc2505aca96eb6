import { exact, instant } from "../format";
import type { Column, Value } from "../types";

export function cell(value: Value, column: Column): string {
  if (value === null) return "∅";
  if (typeof value !== "number") return String(value);
  if (column.kind === "instant") return instant(value);
  if (Number.isInteger(value)) return exact(value);
  return value.toLocaleString("en", { maximumSignificantDigits: 6 });
}

export function compare(a: Value, b: Value): number {
  if (a === b) return 0;
  if (a === null) return 1;
  if (b === null) return -1;
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b));
}
