import type { Run } from "../types";
import { count, rate, span } from "../format";
import { firstRuns } from "../graph/links";
import { history, idOf } from "../live";
import { Sparkline } from "./sparkline";

interface Tile {
  label: string;
  value: string;
  title: string;
  bad?: boolean;
}

const worst = (values: (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null);
  return known.length ? Math.max(...known) : null;
};

function tiles(runs: Run[]): Tile[] {
  const sum = (pick: (run: Run) => number): number => runs.reduce((all, run) => all + pick(run), 0);
  const lag = runs.some((run) => run.lag !== null) ? sum((run) => run.lag ?? 0) : null;
  const dead = sum((run) => run.dead_letters);
  return [
    {
      label: "latency p50",
      value: span(worst(runs.map((run) => run.latency_p50))),
      title: "From the arrival of a row to its result in the sinks, last 10 s; the slowest run",
    },
    {
      label: "latency p99",
      value: span(worst(runs.map((run) => run.latency_p99))),
      title: "99 of 100 epochs were faster",
    },
    {
      label: "lag",
      value: lag === null ? "–" : count(lag),
      title: "Rows that are there and were not read yet",
    },
    {
      label: "watermark delay",
      value: span(worst(runs.map((run) => run.watermark_delay))),
      title: "How old, in event time, the newest complete results are",
    },
    {
      label: "dead letters",
      value: count(dead),
      title: "Rows that were refused, and are kept with the reason",
      bad: dead > 0,
    },
    {
      label: "late rows",
      value: count(sum((run) => run.late_rows)),
      title: "Rows behind the watermark",
    },
  ];
}

export function Tiles({ runs }: { runs: Run[] }) {
  const first = firstRuns(runs);
  const [only] = first;
  return (
    <section class="tiles" aria-label="Figures">
      <div class="tile wide" title="Rows that the sources bring">
        <b>{rate(first.reduce((all, run) => all + run.in_per_second, 0))}</b>
        <span>rows</span>
        {only && <Sparkline values={history(idOf(only.name, ""))} width={120} height={34} />}
      </div>
      {tiles(runs).map((tile) => (
        <div class={tile.bad ? "tile bad" : "tile"} key={tile.label} title={tile.title}>
          <b>{tile.value}</b>
          <span>{tile.label}</span>
        </div>
      ))}
    </section>
  );
}
