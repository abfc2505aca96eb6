import { useCallback, useEffect, useState } from "preact/hooks";
import type { RefObject } from "preact";
import type { Layout } from "./layout";

const LEAST = 0.35;
const MOST = 1.5;
const STEP = 1.2;
const LEGIBLE = 0.62;

export interface Zooming {
  scale: number;
  by: (factor: number) => void;
  fit: () => void;
}

const bounded = (scale: number): number => Math.min(MOST, Math.max(LEAST, scale));

// As large as fits the window's width, but never so small that names cannot be read: then it scrolls.
export function useZoom(canvas: RefObject<HTMLDivElement | null>, layout: Layout): Zooming {
  const [scale, set] = useState(1);
  const fit = useCallback(() => {
    const width = canvas.current?.clientWidth ?? layout.width;
    set(Math.min(1, Math.max(LEGIBLE, (width - 8) / layout.width)));
  }, [layout]);
  useEffect(() => {
    fit();
    addEventListener("resize", fit);
    return () => removeEventListener("resize", fit);
  }, [fit]);
  const by = (factor: number): void => set((known) => bounded(known * factor));
  return { scale, by, fit };
}

export function Zoom({ zoom }: { zoom: Zooming }) {
  return (
    <p class="zoom">
      <button onClick={() => zoom.by(1 / STEP)} aria-label="Smaller">
        −
      </button>
      <button onClick={zoom.fit} aria-label="Fit">
        fit
      </button>
      <button onClick={() => zoom.by(STEP)} aria-label="Larger">
        +
      </button>
    </p>
  );
}
