// Figures as people read them: three digits, a unit, no more.

const SIZES = ["B", "kB", "MB", "GB", "TB"];

export function count(value: number): string {
  if (Math.abs(value) < 1) return String(Number(value.toPrecision(3)));
  if (value < 10_000) return Math.round(value).toLocaleString("en");
  if (value < 1e6) return `${(value / 1e3).toPrecision(3)}k`;
  if (value < 1e9) return `${(value / 1e6).toPrecision(3)}M`;
  return `${(value / 1e9).toPrecision(3)}G`;
}

export function exact(value: number): string {
  return value.toLocaleString("en");
}

export function rate(perSecond: number): string {
  if (perSecond > 0 && perSecond < 10) return `${perSecond.toFixed(1)}/s`;
  return `${count(perSecond)}/s`;
}

export function size(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < SIZES.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return unit === 0 ? `${value} B` : `${value.toPrecision(3)} ${SIZES[unit]}`;
}

export function span(seconds: number | null): string {
  if (seconds === null) return "–";
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toPrecision(seconds < 0.1 ? 2 : 3)} ms`;
  if (seconds < 120) return `${seconds.toPrecision(3)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${(seconds / 3600).toFixed(1)} h`;
  return `${exact(Math.round(seconds / 86_400))} d`;
}

export function share(part: number): string {
  return part > 0 && part < 0.01 ? "<1%" : `${Math.round(part * 100)}%`;
}

export function instant(ms: number): string {
  return new Date(ms).toISOString().replace("T", " ").replace(".000Z", "").replace("Z", "");
}

export function clock(seconds: number): string {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}
