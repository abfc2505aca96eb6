import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { colour } from "../theme";
import type { Rows } from "../types";
import { valuesOf } from "./chart";

const HEIGHT = 190;
const LINES = ["line-1", "line-2", "line-3", "line-4"];
const UTC = (seconds: number): Date => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");

function data(found: Rows): uPlot.AlignedData {
  const times = valuesOf(found, found.x ?? "").map((ms) => Number(ms) / 1000);
  const order = times.map((_, i) => i).sort((a, b) => (times[a] ?? 0) - (times[b] ?? 0));
  const series = found.y.map((name) => {
    const values = valuesOf(found, name);
    return order.map((i) => (values[i] === null ? null : Number(values[i])));
  });
  return [order.map((i) => times[i] ?? 0), ...series];
}

function options(found: Rows, width: number): uPlot.Options {
  const stepped = found.x === "window_start" ? uPlot.paths.stepped?.({ align: 1 }) : undefined;
  const axis = { stroke: colour("muted"), grid: { stroke: colour("line"), width: 1 } };
  return {
    width,
    height: HEIGHT,
    tzDate: UTC,
    cursor: { y: false },
    scales: { y: { range: (_, least, most) => [Math.min(0, least), most * 1.05 || 1] } },
    axes: [axis, { ...axis, size: 58 }],
    series: [
      { label: found.x ?? "" },
      ...found.y.map((label, i) => ({
        label,
        stroke: colour(LINES[i] ?? "line-1"),
        width: 2,
        points: { show: false },
        ...(stepped && { paths: stepped }),
      })),
    ],
  };
}

export function TimeChart({ found }: { found: Rows }) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  useEffect(() => {
    const parent = place.current;
    if (!parent) return;
    chart.current = new uPlot(options(found, parent.clientWidth), data(found), parent);
    const watch = new ResizeObserver(() =>
      chart.current?.setSize({ width: parent.clientWidth, height: HEIGHT }),
    );
    watch.observe(parent);
    return () => {
      watch.disconnect();
      chart.current?.destroy();
    };
  }, []);
  useEffect(() => chart.current?.setData(data(found)), [found]);
  return <div class="time-chart" ref={place} />;
}
