import { useCallback, useEffect, useState } from "preact/hooks";
import type { RefObject } from "preact";
import type { Layout } from "./layout";

const LEAST = 0.3;
const MOST = 1.5;
const STEP = 1.2;
const LEGIBLE = 0.7;

export interface Zooming {
  scale: number;
  by: (factor: number) => void;
  fit: () => void;
}

const bounded = (scale: number): number => Math.min(MOST, Math.max(LEAST, scale));

export function useWidth(element: RefObject<HTMLElement | null>): number {
  const [width, set] = useState(0);
  useEffect(() => {
    const shown = element.current;
    if (!shown) return;
    const watch = new ResizeObserver(() => set(innerWidthOf(shown)));
    watch.observe(shown);
    set(innerWidthOf(shown));
    return () => watch.disconnect();
  }, []);
  return width;
}

function innerWidthOf(element: HTMLElement): number {
  const style = getComputedStyle(element);
  return element.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
}

// As large as fits the width, but never so small that names cannot be read: then it scrolls.
export function useZoom(layout: Layout, available: number): Zooming {
  const [scale, set] = useState(1);
  const fit = useCallback(
    () => set(Math.min(1, Math.max(LEGIBLE, available / layout.width))),
    [layout, available],
  );
  useEffect(fit, [fit]);
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
