import type { Run } from "../types";
import { TITLE } from "./geometry";
import type { Box, Placed } from "./geometry";

const HEIGHT = 82;
const GAP = 12;
const INDENT = 16;
const DEEPEST = 7;
const SIDE = 8;

// One step below the other, each behind what it reads and a little to the right of it.
export function columnOf(run: Run, available: number): Placed {
  const boxes = new Map<string, Box>();
  let y = TITLE;
  const place = (name: string, depth: number): void => {
    if (boxes.has(name)) return;
    const x = SIDE + Math.min(depth, DEEPEST) * INDENT;
    boxes.set(name, { x, y, width: available - x - SIDE, height: HEIGHT });
    y += HEIGHT + GAP;
    for (const step of run.steps) {
      if (step.inputs.at(-1) === name) place(step.name, depth + 1);
    }
  };
  for (const step of run.steps) place(step.name, 0);
  return { width: available, height: y + SIDE, boxes, path: corner };
}

function corner(from: Box, to: Box): string {
  const x = from.x + SIDE;
  return `M${x},${from.y + from.height} V${to.y + to.height / 2} H${to.x}`;
}
