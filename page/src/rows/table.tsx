import { useRef, useState } from "preact/hooks";
import type { Rows, Value } from "../types";
import { exact } from "../format";
import { cell, compare } from "./cells";

const SHOWN = 200;

interface Order {
  column: number;
  down: boolean;
}

// A live table: held still while paused, sorted by a click on a column, filtered by a word.
export function Table({ found, name }: { found: Rows | null; name: string }) {
  const [paused, pause] = useState(false);
  const [word, look] = useState("");
  const [order, sort] = useState<Order | null>(null);
  const held = useRef(found);
  if (!paused) held.current = found;
  const rows = held.current;
  if (rows === null || rows.columns.length === 0) return <p class="empty">No rows yet.</p>;
  const shown = chosen(rows, word, order);
  return (
    <div class="rows">
      <div class="bar">
        <input
          type="search"
          placeholder="Filter"
          aria-label={`Filter ${name}`}
          value={word}
          onInput={(event) => look(event.currentTarget.value)}
        />
        <button aria-pressed={paused} onClick={() => pause(!paused)}>
          {paused ? "▶ Go on" : "❚❚ Hold"}
        </button>
        <small>
          {exact(shown.length)} of {exact(rows.total)} {rows.view ? "rows" : "latest rows"}
          {rows.too_large && ", too many to follow"}
        </small>
      </div>
      <div class="scroll" tabIndex={0} role="region" aria-label={`Rows of ${name}`}>
        <table>
          <Head rows={rows} order={order} sort={sort} />
          <tbody>
            {shown.slice(0, SHOWN).map((row, number) => (
              <tr key={number}>
                {row.map((value, i) => {
                  const column = rows.columns[i];
                  return column && <td class={column.kind}>{cell(value, column)}</td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

interface HeadProps {
  rows: Rows;
  order: Order | null;
  sort: (order: Order) => void;
}

function Head({ rows, order, sort }: HeadProps) {
  return (
    <thead>
      <tr>
        {rows.columns.map((column, i) => {
          const mine = order?.column === i ? order : null;
          const direction = mine ? (mine.down ? "descending" : "ascending") : undefined;
          return (
            <th key={column.name} class={column.kind} aria-sort={direction} title={column.type}>
              <button onClick={() => sort({ column: i, down: !mine?.down })}>
                {column.name}
                {mine && (mine.down ? " ↓" : " ↑")}
              </button>
            </th>
          );
        })}
      </tr>
    </thead>
  );
}

function chosen(rows: Rows, word: string, order: Order | null): Value[][] {
  const wanted = word.toLowerCase();
  const found = rows.rows.filter(
    (row) => !wanted || row.some((value) => String(value).toLowerCase().includes(wanted)),
  );
  if (order === null) return rows.view ? found : found.reverse();
  const sign = order.down ? -1 : 1;
  const { column } = order;
  return found.sort((a, b) => sign * compare(a[column] ?? null, b[column] ?? null));
}
