import { useMemo, useRef } from "preact/hooks";
import { rate } from "../format";
import { idOf } from "../live";
import { domId } from "../names";
import { Commands } from "../parts/commands";
import type { Run, Step } from "../types";
import { layoutOf, shapeOf } from "./layout";
import type { Layout, Line } from "./layout";
import { Node } from "./node";
import { neighbour } from "./walking";
import { useWidth, useZoom, Zoom } from "./zoom";

interface Props {
  runs: Run[];
  selected: string | null;
  select: (id: string) => void;
}

export function Graph({ runs, selected, select }: Props) {
  const canvas = useRef<HTMLDivElement>(null);
  const available = useWidth(canvas);
  const shape = shapeOf(runs);
  const layout = useMemo(() => layoutOf(runs, available), [shape, available]);
  const zoom = useZoom(layout, available);
  const steps = new Map(runs.flatMap((run) => run.steps.map((s) => [idOf(run.name, s.name), s])));
  const walk = (event: KeyboardEvent): void => {
    const from = [...layout.nodes.keys()].find((id) => domId(id) === document.activeElement?.id);
    const to = from ? neighbour(layout, from, event.key) : null;
    if (to) {
      event.preventDefault();
      document.getElementById(domId(to))?.focus();
    }
  };
  return (
    <section class="graph" aria-label="Pipeline">
      <div class="canvas" ref={canvas} onKeyDown={walk}>
        <div
          class="sized"
          style={{ width: `${layout.width * zoom.scale}px`, height: `${layout.height * zoom.scale}px` }}
        >
          <div class="drawing" style={{ transform: `scale(${zoom.scale})` }}>
            <Frames layout={layout} runs={runs} />
            <Edges layout={layout} steps={steps} />
            {[...layout.nodes].map(([id, box]) => {
              const step = steps.get(id);
              return (
                step && (
                  <Node key={id} {...{ id, step, box, select }} selected={id === selected} />
                )
              );
            })}
          </div>
        </div>
      </div>
      <Legend />
      <Zoom zoom={zoom} />
    </section>
  );
}

function Frames({ layout, runs }: { layout: Layout; runs: Run[] }) {
  return (
    <>
      {layout.frames.map(({ run: name, box }) => {
        const run = runs.find((known) => known.name === name);
        const style = {
          left: `${box.x}px`,
          top: `${box.y}px`,
          width: `${box.width}px`,
          height: `${box.height}px`,
        };
        return (
          <div class="frame" key={name} style={style}>
            <b>{name}</b>
            <span class={`state ${run?.state}`}>{run?.state}</span>
            {run && <Commands run={run} />}
          </div>
        );
      })}
    </>
  );
}

// A topic's sink has put a row where the source of the next run takes it: both rates are the same.
function rateOf(line: Line, steps: Map<string, Step>): number {
  const [from, to] = [steps.get(line.from), steps.get(line.to)];
  if (!from || !to) return 0;
  if (to.kind === "dead_letters" || to.kind === "late" || from.kind === "sink") {
    return to.out_per_second;
  }
  return to.kind === "sink" ? to.in_per_second : from.out_per_second;
}

function thickness(perSecond: number): number {
  return Math.min(11, 1.5 + 1.5 * Math.log10(1 + perSecond));
}

function Edges({ layout, steps }: { layout: Layout; steps: Map<string, Step> }) {
  return (
    <svg class="edges" width={layout.width} height={layout.height} aria-hidden="true">
      {layout.lines.map((line) => {
        const flow = rateOf(line, steps);
        const side = steps.get(line.from)?.kind === "sink" || steps.get(line.to)?.kind === "dead_letters";
        return (
          <path
            key={line.id}
            class={`${flow > 0 ? "flowing" : "still"} ${side ? "side" : ""}`}
            d={line.path}
            stroke-width={thickness(flow)}
          >
            <title>{rate(flow)}</title>
          </path>
        );
      })}
    </svg>
  );
}

function Legend() {
  return (
    <p class="legend">
      <span class="key busy">busy</span>
      <span class="key idle">idle</span>
      <span class="key blocked">back-pressured</span>
      <span class="hint">lines are as wide as their rate · arrow keys walk, Enter opens</span>
    </p>
  );
}
