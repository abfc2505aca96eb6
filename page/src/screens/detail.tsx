import { useEffect, useRef } from "preact/hooks";
import { rowsPath, usePolled } from "../api";
import { clock, count, exact, instant, rate, share, size, span } from "../format";
import { loadLabel } from "../graph/node";
import { namesOf } from "../names";
import { go } from "../route";
import { Table } from "../rows/table";
import type { Rows, Run, Step } from "../types";
import { StepErrors } from "./step_errors";

const EVERY_MS = 1000;

export function Detail({ run, step }: { run: Run; step: Step }) {
  const top = useRef<HTMLHeadingElement>(null);
  const rows = usePolled<Rows>(rowsPath(run.name, step.name), EVERY_MS);
  useEffect(() => top.current?.focus(), [run.name, step.name]);
  const { title } = namesOf(step);
  return (
    <aside class="detail" aria-label={`Step ${title}`}>
      <div class="detail-head">
        <h2 tabIndex={-1} ref={top}>
          {title}
        </h2>
        <span class={`key ${step.load}`}>{loadLabel(step)}</span>
        <button class="icon" onClick={() => go("pipeline")} aria-label="Close">
          ✕
        </button>
      </div>
      <p class="plan">{step.text}</p>
      {step.line && <UserLine line={step.line} />}
      <dl>
        {figures(step).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {step.partitions.length > 0 && <Lags step={step} />}
      {step.kind === "sink" && <Commits run={run} step={step} />}
      <h3>Latest rows</h3>
      <Table found={rows} name={title} key={step.name} />
      {step.rows_dead > 0 && <StepErrors run={run} step={step} />}
    </aside>
  );
}

function figures(step: Step): [string, string][] {
  const found: [string, string | null][] = [
    ["name", step.name],
    ["rows in", step.rows_in ? `${exact(step.rows_in)} (${rate(step.in_per_second)})` : null],
    ["rows out", step.rows_out ? `${exact(step.rows_out)} (${rate(step.out_per_second)})` : null],
    ["rows are", step.changelog ? "changes" : "append-only"],
    ["state", step.state_rows ? `${exact(step.state_rows)} rows, ${size(step.state_bytes)}` : null],
    ["epochs", step.epochs ? `${exact(step.epochs)}, ${span(step.mean_epoch_seconds)} each` : null],
    ["last epoch", step.epochs ? span(step.last_epoch_seconds) : null],
    ["computes", step.epochs ? `${share(step.busy)} of the time` : null],
    ["watermark", step.watermark === null ? null : instant(Math.floor(step.watermark) * 1000)],
    ["watermark delay", step.watermark_delay === null ? null : span(step.watermark_delay)],
    ["read ahead", step.kind === "source" ? `${count(step.queued_rows)} rows` : null],
    ["lag", step.lag === null ? null : `${exact(step.lag)} rows`],
    ["late rows", step.rows_late ? exact(step.rows_late) : null],
    ["dead letters", step.rows_dead ? exact(step.rows_dead) : null],
    ["lost rows", step.rows_lost ? exact(step.rows_lost) : null],
    ["guarantee", step.guarantee],
  ];
  return found.filter((figure): figure is [string, string] => figure[1] !== null);
}

// "file.py:12: code" -> the place, and the code as it is written there.
function UserLine({ line }: { line: string }) {
  const parts = /^(.*?:\d+)(?:: (.*))?$/.exec(line);
  return (
    <figure class="user-line">
      <figcaption>{parts?.[1] ?? line}</figcaption>
      {parts?.[2] && <code>{parts[2]}</code>}
    </figure>
  );
}

function Lags({ step }: { step: Step }) {
  const most = Math.max(...step.partitions.map((partition) => partition.lag), 1);
  return (
    <>
      <h3>Lag by partition</h3>
      <ul class="lags">
        {step.partitions.map((partition) => (
          <li key={partition.name}>
            <span>{partition.name}</span>
            <i style={{ width: `${(100 * partition.lag) / most}%` }} />
            <b>{exact(partition.lag)}</b>
          </li>
        ))}
      </ul>
    </>
  );
}

function Commits({ run, step }: { run: Run; step: Step }) {
  const latest = run.checkpoints.slice(-5).reverse();
  return (
    <>
      <h3>Commits</h3>
      <p class="quiet">
        {step.applied_epoch === null
          ? "Nothing is committed yet."
          : `Has all rows up to epoch ${exact(step.applied_epoch)}.`}
        {step.waiting_epochs > 0 && ` ${exact(step.waiting_epochs)} wait to be written.`}
      </p>
      <ul class="commits">
        {latest.map((made) => (
          <li key={made.epoch}>
            <span>{clock(made.at)}</span> epoch {exact(made.epoch)}, {span(made.seconds)}
          </li>
        ))}
      </ul>
    </>
  );
}
