import type { Box } from "./geometry";
import type { Layout } from "./layout";

const WAYS: Record<string, [number, number]> = {
  ArrowRight: [1, 0],
  ArrowLeft: [-1, 0],
  ArrowDown: [0, 1],
  ArrowUp: [0, -1],
};
const ASIDE = 2; // a step aside counts double, so that a walk goes straight on where it can

// The node that an arrow key leads to: the nearest one that way.
export function neighbour(layout: Layout, from: string, key: string): string | null {
  const way = WAYS[key];
  const start = layout.nodes.get(from);
  if (!way || !start) return null;
  let nearest: string | null = null;
  let least = Infinity;
  for (const [id, box] of layout.nodes) {
    const away = distance(start, box, way);
    if (id !== from && away < least) {
      least = away;
      nearest = id;
    }
  }
  return nearest;
}

function distance(start: Box, box: Box, [right, down]: [number, number]): number {
  const [dx, dy] = [box.x - start.x, box.y - start.y];
  const ahead = dx * right + dy * down;
  const aside = Math.abs(dx * down) + Math.abs(dy * right);
  return ahead > 0 ? ahead + ASIDE * aside : Infinity;
}
