import dagre from "@dagrejs/dagre";
import { idOf } from "../live";
import type { Run, Step } from "../types";

// Where everything stands. Each run is laid out by itself, left to right (top to bottom in a narrow
// window), and those that pass rows to the next one by a topic stand before it.

export const NODE_WIDTH = 204;
export const NODE_HEIGHT = 84;
const MARGIN = 18;
const TITLE = 34;
const GAP = 64;

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Line {
  id: string;
  from: string;
  to: string;
  run: string;
  path: string;
}

export interface Layout {
  width: number;
  height: number;
  nodes: Map<string, Box>;
  lines: Line[];
  frames: { run: string; box: Box }[];
}

export function shapeOf(runs: Run[]): string {
  return runs
    .map((run) => run.name + run.steps.map((step) => step.name + step.inputs.join()).join(";"))
    .join("|");
}

export function layoutOf(runs: Run[], across: boolean): Layout {
  const all: Layout = { width: 0, height: 0, nodes: new Map(), lines: [], frames: [] };
  const links = runs.slice(1).map((run, i) => linkBetween(runs[i] as Run, run));
  let at = { x: 0, y: 0 };
  runs.forEach((run, i) => {
    const box = place(run, across, at, all);
    all.frames.push({ run: run.name, box });
    all.width = Math.max(all.width, box.x + box.width);
    all.height = Math.max(all.height, box.y + box.height);
    const beside = across && links[i] !== null && i < links.length;
    at = beside ? { x: box.x + box.width + GAP, y: box.y } : { x: 0, y: all.height + GAP / 2 };
  });
  for (const link of links) {
    if (link) all.lines.push(between(link, all.nodes, across));
  }
  return all;
}

interface Link {
  from: string;
  to: string;
  run: string;
}

function placeOf(step: Step): string {
  return step.text.split(" ").slice(1).join(" ");
}

function linkBetween(above: Run, below: Run): Link | null {
  for (const sink of above.steps.filter((step) => step.kind === "sink")) {
    const source = below.steps.find(
      (step) => step.kind === "source" && placeOf(step) === placeOf(sink),
    );
    if (source) {
      const to = idOf(below.name, source.name);
      return { from: idOf(above.name, sink.name), to, run: above.name };
    }
  }
  return null;
}

function place(run: Run, across: boolean, at: { x: number; y: number }, all: Layout): Box {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: across ? "LR" : "TB", ranksep: 58, nodesep: 16, marginx: 0, marginy: 0 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const step of run.steps) {
    graph.setNode(step.name, { width: NODE_WIDTH, height: NODE_HEIGHT });
  }
  for (const step of run.steps) {
    for (const input of step.inputs) graph.setEdge(input, step.name);
  }
  dagre.layout(graph);
  const left = at.x + MARGIN;
  const top = at.y + TITLE;
  for (const step of run.steps) {
    const { x, y } = graph.node(step.name);
    all.nodes.set(idOf(run.name, step.name), {
      x: left + x - NODE_WIDTH / 2,
      y: top + y - NODE_HEIGHT / 2,
      width: NODE_WIDTH,
      height: NODE_HEIGHT,
    });
  }
  for (const step of run.steps) {
    for (const input of step.inputs) {
      const link = { from: idOf(run.name, input), to: idOf(run.name, step.name), run: run.name };
      all.lines.push(between(link, all.nodes, across));
    }
  }
  const { width = NODE_WIDTH, height = NODE_HEIGHT } = graph.graph();
  return { x: at.x, y: at.y, width: width + 2 * MARGIN, height: height + TITLE + MARGIN };
}

function between({ from, to, run }: Link, nodes: Map<string, Box>, across: boolean): Line {
  const a = nodes.get(from) as Box;
  const b = nodes.get(to) as Box;
  const id = `${from}>${to}`;
  if (across) {
    const [x, y, u, v] = [a.x + a.width, a.y + a.height / 2, b.x, b.y + b.height / 2];
    const bend = Math.max(24, (u - x) / 2);
    return { id, from, to, run, path: `M${x},${y} C${x + bend},${y} ${u - bend},${v} ${u},${v}` };
  }
  const [x, y, u, v] = [a.x + a.width / 2, a.y + a.height, b.x + b.width / 2, b.y];
  const bend = Math.max(24, (v - y) / 2);
  return { id, from, to, run, path: `M${x},${y} C${x},${y + bend} ${u},${v - bend} ${u},${v}` };
}
