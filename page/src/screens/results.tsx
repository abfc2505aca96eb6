import { useEffect, useRef, useState } from "preact/hooks";
import { contentsPath, filePath, usePolled } from "../api";
import { rate } from "../format";
import { namesOf } from "../names";
import { Chart } from "../rows/chart";
import { Table } from "../rows/table";
import type { Rows, Snapshot, Step } from "../types";

const EVERY_MS = 1000;

export function Results({ snapshot, theme }: { snapshot: Snapshot; theme: string }) {
  const [hidden, hide] = useState<ReadonlySet<string>>(new Set());
  const sinks = snapshot.runs.flatMap((run) =>
    run.steps
      .filter((step) => step.kind === "sink")
      .map((step) => ({ id: `${run.name}/${step.name}`, run: run.name, step })),
  );
  const toggle = (id: string): void => {
    const next = new Set(hidden);
    if (!next.delete(id)) next.add(id);
    hide(next);
  };
  return (
    <>
      <p class="chips" aria-label="Results shown">
        {sinks.map(({ id, step }) => (
          <button key={id} aria-pressed={!hidden.has(id)} onClick={() => toggle(id)}>
            {namesOf(step).title}
          </button>
        ))}
      </p>
      <div class="results">
        {sinks
          .filter(({ id }) => !hidden.has(id))
          .map(({ id, run, step }) => (
            <Result key={id} run={run} step={step} theme={theme} />
          ))}
      </div>
    </>
  );
}

function Result({ run, step, theme }: { run: string; step: Step; theme: string }) {
  const [place, seen] = useSeen();
  const found = usePolled<Rows>(contentsPath(run, step.name), EVERY_MS, seen);
  const { title, subtitle } = namesOf(step);
  return (
    <section class="card result" ref={place} aria-label={title}>
      <div class="bar">
        <h2>{title}</h2>
        <small>
          {subtitle} · {rate(step.in_per_second)}
        </small>
        <span class="save">
          <a href={filePath(run, step.name, "rows.csv")}>CSV</a>
          <a href={filePath(run, step.name, "rows.parquet")}>Parquet</a>
        </span>
      </div>
      {found?.chart && <Chart found={found} theme={theme} />}
      <Table found={found} name={title} />
    </section>
  );
}

// What is scrolled out of sight is not asked for.
function useSeen(): [(element: HTMLElement | null) => void, boolean] {
  const [seen, see] = useState(false);
  const watch = useRef<IntersectionObserver | null>(null);
  useEffect(() => () => watch.current?.disconnect(), []);
  const place = useRef((element: HTMLElement | null): void => {
    watch.current?.disconnect();
    if (!element) return;
    watch.current = new IntersectionObserver((entries) => see(entries.some((e) => e.isIntersecting)));
    watch.current.observe(element);
  });
  return [place.current, seen];
}
