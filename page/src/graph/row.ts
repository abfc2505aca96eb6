import dagre from "@dagrejs/dagre";
import type { Run } from "../types";
import { across, MARGIN, TITLE } from "./geometry";
import type { Box, Placed } from "./geometry";

const WIDTH = 186;
const HEIGHT = 82;

export function rowOf(run: Run): Placed {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", ranksep: 44, nodesep: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const step of run.steps) graph.setNode(step.name, { width: WIDTH, height: HEIGHT });
  for (const step of run.steps) {
    for (const input of step.inputs) graph.setEdge(input, step.name);
  }
  dagre.layout(graph);
  const boxes = new Map<string, Box>();
  for (const { name } of run.steps) {
    const { x, y } = graph.node(name);
    const corner = { x: MARGIN + x - WIDTH / 2, y: TITLE + y - HEIGHT / 2 };
    boxes.set(name, { ...corner, width: WIDTH, height: HEIGHT });
  }
  const { width = WIDTH, height = HEIGHT } = graph.graph();
  return { width: width + 2 * MARGIN, height: height + TITLE + MARGIN, boxes, path: across };
}
