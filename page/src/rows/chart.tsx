import { count } from "../format";
import type { Rows, Value } from "../types";
import { Bars } from "./bars";
import { TimeChart } from "./time_chart";

const BARS = 12;
const BINS = 24;

// The chart that the server chose for the shape of the rows.
export function Chart({ found, theme }: { found: Rows; theme: string }) {
  const numbers = found.y.map((name) => valuesOf(found, name));
  const first = numbers[0];
  if (!found.chart || !found.x || !first) return null;
  if (found.chart === "time") {
    return <TimeChart key={theme + found.y.join()} found={found} />;
  }
  if (found.chart === "bars") {
    const names = valuesOf(found, found.x);
    const bars = names.map((name, i) => ({ name: String(name ?? "∅"), value: Number(first[i]) }));
    const largest = bars.sort((a, b) => b.value - a.value).slice(0, BARS);
    return <Bars bars={largest} caption={`${found.y[0]} by ${found.x}`} />;
  }
  return <Histogram values={first.filter((v) => v !== null).map(Number)} name={found.x} />;
}

export function valuesOf(found: Rows, name: string): Value[] {
  const at = found.columns.findIndex((column) => column.name === name);
  return found.rows.map((row) => row[at] ?? null);
}

function Histogram({ values, name }: { values: number[]; name: string }) {
  const known = values.filter(Number.isFinite);
  const [least, most] = [Math.min(...known), Math.max(...known)];
  const width = (most - least) / BINS || 1;
  const bins = new Array<number>(BINS).fill(0);
  for (const value of known) {
    const bin = Math.min(BINS - 1, Math.floor((value - least) / width));
    bins[bin] = (bins[bin] ?? 0) + 1;
  }
  const highest = Math.max(...bins, 1);
  return (
    <figure class="histogram">
      <div>
        {bins.map((rows, i) => (
          <i
            key={i}
            style={{ height: `${(100 * rows) / highest}%` }}
            title={`from ${count(least + i * width)}: ${rows} rows`}
          />
        ))}
      </div>
      <figcaption>
        <span>{count(least)}</span>
        <span>{name}, latest rows</span>
        <span>{count(most)}</span>
      </figcaption>
    </figure>
  );
}
