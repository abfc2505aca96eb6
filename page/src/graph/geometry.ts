// Boxes, and the curves between them.

export const MARGIN = 16;
export const TITLE = 34;

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

// One run by itself, from the origin: boxes by step, and a path between two of them.
export interface Placed {
  width: number;
  height: number;
  boxes: Map<string, Box>;
  path: (from: Box, to: Box) => string;
}

export function across(a: Box, b: Box): string {
  const [x, y, u, v] = [a.x + a.width, a.y + a.height / 2, b.x, b.y + b.height / 2];
  const bend = Math.max(20, (u - x) / 2);
  return `M${x},${y} C${x + bend},${y} ${u - bend},${v} ${u},${v}`;
}

export function down(a: Box, b: Box): string {
  const [x, y, u, v] = [a.x + a.width / 2, a.y + a.height, b.x + b.width / 2, b.y];
  const bend = Math.max(20, (v - y) / 2);
  return `M${x},${y} C${x},${y + bend} ${u},${v - bend} ${u},${v}`;
}
