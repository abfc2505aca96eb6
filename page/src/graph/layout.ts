import { idOf } from "../live";
import type { Run } from "../types";
import { columnOf } from "./column";
import { across, down } from "./geometry";
import type { Box, Placed } from "./geometry";
import { linkBetween } from "./links";
import type { Link } from "./links";
import { rowOf } from "./row";

// Where everything stands. Each run is laid out by itself, left to right; in a narrow window below
// each other, indented. Runs that pass rows on by a topic stand side by side where there is room.

const GAP = 56;
const LEGIBLE = 0.8;
const NARROW = 640;

export interface Line {
  id: string;
  from: string;
  to: string;
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

export function layoutOf(runs: Run[], available: number): Layout {
  const narrow = available <= NARROW;
  const placed = runs.map((run) => (narrow ? columnOf(run, available) : rowOf(run)));
  const links = runs.map((run, i) => linkBetween(runs[i - 1], run));
  const total = placed.reduce((sum, run) => sum + run.width + GAP, -GAP);
  const room = !narrow && total * LEGIBLE <= available;
  const all: Layout = { width: 0, height: 0, nodes: new Map(), lines: [], frames: [] };
  runs.forEach((run, i) => {
    const before = all.frames.at(-1)?.box;
    const beside = room && links[i] && before;
    const x = beside ? before.x + before.width + GAP : 0;
    const y = beside ? before.y : before ? all.height + GAP / 2 : 0;
    add(all, run, placed[i] as Placed, x, y);
  });
  for (const link of links) {
    if (link && !narrow) all.lines.push(drawn(all, link, room ? across : down));
  }
  return all;
}

function add(all: Layout, run: Run, placed: Placed, x: number, y: number): void {
  const box = { x, y, width: placed.width, height: placed.height };
  all.frames.push({ run: run.name, box });
  all.width = Math.max(all.width, x + box.width);
  all.height = Math.max(all.height, y + box.height);
  for (const [step, at] of placed.boxes) {
    all.nodes.set(idOf(run.name, step), { ...at, x: x + at.x, y: y + at.y });
  }
  for (const step of run.steps) {
    for (const input of step.inputs) {
      const link = { from: idOf(run.name, input), to: idOf(run.name, step.name) };
      all.lines.push(drawn(all, link, placed.path));
    }
  }
}

function drawn(all: Layout, link: Link, path: Placed["path"]): Line {
  const from = all.nodes.get(link.from) as Box;
  const to = all.nodes.get(link.to) as Box;
  return { id: `${link.from}>${link.to}`, ...link, path: path(from, to) };
}
