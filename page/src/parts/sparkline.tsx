// The last half minute of a rate, scaled to its own highest value.

interface Props {
  values: readonly number[];
  width: number;
  height: number;
}

const POINTS = 120;

export function Sparkline({ values, width, height }: Props) {
  const highest = Math.max(...values, 1e-9);
  const step = width / (POINTS - 1);
  const first = width - (values.length - 1) * step;
  const points = values.map((value, i) => {
    const y = height - 1 - (value / highest) * (height - 2);
    return `${(first + i * step).toFixed(1)},${y.toFixed(1)}`;
  });
  if (points.length < 2) return <svg class="spark" width={width} height={height} />;
  const line = points.join(" ");
  return (
    <svg class="spark" width={width} height={height} aria-hidden="true">
      <polygon points={`${first.toFixed(1)},${height} ${line} ${width},${height}`} />
      <polyline points={line} />
    </svg>
  );
}
